package serde

// Check returns the error of a serde that was declared wrongly, such as a window
// size of zero, or nil. Serdes are declared as package-level variables, where an
// error has nowhere to go: whoever wires a serde calls Check once, and a serde
// that was not checked returns the same error from each of its methods.
//
// A serde of your own takes part with a method Check() error.
func Check(s any) error {
	if c, ok := s.(interface{ Check() error }); ok {
		return c.Check()
	}
	return nil
}
