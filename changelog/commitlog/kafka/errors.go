package kafka

import (
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

// refused makes an error of a broker's code: nil for 0. what is the operation
// with its topic, partition or group; permission is what Kafka wants to be
// granted for it ("WRITE on topic a"), and is named if that is what lacks.
// message is the broker's own text, if any.
func refused(code int16, message *string, what, permission string) error {
	if code == 0 {
		return nil
	}
	err := fmt.Errorf("%s: %w", what, wire.Code(code))
	if message != nil && *message != "" {
		err = fmt.Errorf("%w (%s)", err, *message)
	}
	return named(err, permission)
}

// permissionError says which permission lacks.
type permissionError struct {
	error
	permission string
}

func (e *permissionError) Error() string { return e.error.Error() + "; grant " + e.permission }
func (e *permissionError) Unwrap() error { return e.error }

// named adds to a refusal for want of a permission which one it is, unless that
// is known already: whoever is nearer to the request knows better.
func named(err error, permission string) error {
	var known *permissionError
	if err == nil || !errors.Is(err, commitlog.ErrDenied) || errors.As(err, &known) || isLogin(err) {
		return err
	}
	return &permissionError{err, permission}
}

// isLogin reports whether it is the login that was refused, which no permission
// mends.
func isLogin(err error) bool {
	var io *wire.IOError
	return errors.As(err, &io)
}

// codeOf returns the Kafka code in err.
func codeOf(err error) (wire.Code, bool) {
	var code wire.Code
	ok := errors.As(err, &code)
	return code, ok
}
