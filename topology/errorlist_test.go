package topology

import (
	"errors"

	"github.com/hashicorp/go-multierror"
)

// buildErrors returns the mistakes that Build found as "node: problem".
func buildErrors(err error) (out []string) {
	var list *multierror.Error
	if !errors.As(err, &list) {
		return nil
	}
	for _, e := range list.Errors {
		out = append(out, e.Error())
	}
	return out
}
