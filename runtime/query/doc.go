// Package query answers questions about the state of a running application,
// over HTTP ([NewHandler]) and in Go by store handle ([Get], [GetWindows],
// [Scan], [ScanWindows]).
//
// # What an answer reflects
//
// Queries read the committed store through a snapshot and never touch a task, so
// an answer holds nothing of a transaction that is still open. Every answer
// about a store carries its position: per partition, the next offset of each
// input topic. Records below it are in the answer, the others are not. One page
// of a scan is one snapshot of each partition; two pages are two.
//
// # Bounds
//
// Every request is bounded by [Limits]: rows, bytes of the answer, rows examined
// and time. A scan that meets a bound returns what it has and a cursor to go on
// with. An answer is collected in memory before it is sent, so that an error half
// way is an error and not half an answer; with the defaults of [Guard] that is
// at most 64 answers of 8 MiB, each with one row more than fits.
//
// # Being reachable
//
// [NewHandler] decides nothing about who may ask. [Guard] does, and [Server]
// refuses to listen beyond this machine without TLS and a token. On loopback a
// GET needs no token, because whoever can connect can usually read the files as
// well; but since any web page can reach 127.0.0.1 too, the Host header has to
// name this machine, and every other method needs the token.
package query
