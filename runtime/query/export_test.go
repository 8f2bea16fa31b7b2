package query

import "testing"

// NewExampleBackend is a backend with a store "people" that has some rows.
func NewExampleBackend() Backend { return filled(&testing.B{}) }
