// Package fetch brings what ADD names by address: files by http and https, and
// trees of git repositories. It is the one package that opens network
// connections, and only cmd/ds-cache links it: net/http costs a program more
// time at its start than the rest of a cached build takes.
//
// What was fetched is kept, so that the next build asks whether it changed, or
// asks nobody where a checksum says what is meant:
//
//	sha256/ab/HEX     a file, by its content
//	urls/HEX.json     what a URL gave, to ask for again
//	git/HEX/          a bare mirror of a repository
//	used/HEX          its time is when a file was used last
//	tmp/              downloads under way
//
// The invariant: a file under sha256 is whole and was read to the end that its
// sender announced. Everything may be removed at any time.
//
//	kept, err := fetch.Open(filepath.Join(root, "cache", "fetched"))
//	file, err := kept.File(ctx, "https://example.org/x.tar.gz", fetch.Options{})
package fetch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
)

// DefaultMaxBytes is the largest file, and the largest repository, by default.
const DefaultMaxBytes = 8 << 30

// Options say how to fetch; the zero value is the default.
type Options struct {
	// Checksum is what the file's content must be, "sha256:HEX", or what a
	// commit's id must begin with.
	Checksum string
	// MaxBytes is the largest size; default DefaultMaxBytes.
	MaxBytes int64
	// Offline allows only what is kept and needs no asking.
	Offline bool
	// KeepGitDir leaves a .git directory at the top of a tree.
	KeepGitDir bool
	// Progress is told, on other goroutines but serially, how many bytes have
	// come and, where that is known, of how many; else total is 0.
	Progress func(bytes, total int64)
}

// ErrNotKept says that something would have to be fetched, against Options.Offline.
var ErrNotKept = errors.New("not kept from an earlier build")

// ErrTooLarge says that something is larger than Options.MaxBytes.
var ErrTooLarge = errors.New("too large")

// ChecksumError says that something is not what it was said to be.
type ChecksumError struct{ Want, Got string }

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("the checksum is %s, not %s", e.Got, e.Want)
}

// Kept is the directory where fetched things are kept. It is safe for use by
// many goroutines and processes at once.
type Kept struct{ dir string }

// Open names the directory; it is made when something is fetched.
func Open(dir string) (*Kept, error) {
	abs, err := filepath.Abs(dir)
	return &Kept{abs}, err
}

func (o Options) limit() int64 {
	if o.MaxBytes > 0 {
		return o.MaxBytes
	}
	return DefaultMaxBytes
}

func (o Options) progress(bytes, total int64) {
	if o.Progress != nil {
		o.Progress(bytes, total)
	}
}

// nameOf is a file name for an address.
func nameOf(address string) string {
	sum := sha256.Sum256([]byte(address))
	return hex.EncodeToString(sum[:])
}
