package gokaprocessor

// Pin is the version of goka whose insides this package knows: the options of its
// contexts, and for [FromGroupGraphUnsafe] its group graph. A test fails when the
// module's go.mod names another.
const Pin = "v1.1.14"
