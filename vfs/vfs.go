// Package vfs says what an account sees and may do: the two views, what a path
// means in them, and the life of an upload from open to its receipt. It knows
// no protocol and no medium.
package vfs
