// Package gokacodec speaks goka's codecs without importing goka: an interface of
// the same two methods, which every goka codec satisfies as it is, and the bytes
// of goka's own codecs. With it any topology reads and writes what goka programs
// write and read; running their callbacks is the business of package
// gokaprocessor.
package gokacodec
