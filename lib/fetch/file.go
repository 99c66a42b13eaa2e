package fetch

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"docksmith/lib/dockerfile"
	"docksmith/lib/fetched"
)

// File is a fetched file.
type File struct {
	// Path is where it is kept. It must not be changed.
	Path   string
	Digest string // "sha256:HEX"
	Size   int64
	// Kept says that nothing was downloaded.
	Kept bool
}

// urlSchema names the document that says what a URL gave.
const urlSchema = "docksmith.fetched/1"

// record is that document.
type record struct {
	Schema       string `json:"schema"`
	URL          string `json:"url"` // without credentials
	Digest       string `json:"digest"`
	Size         int64  `json:"size"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"lastModified,omitempty"`
}

// File fetches an http or https URL, or finds what it gave before and the server
// says still holds. With a checksum whose file is kept, nobody is asked. A
// download that is cut or not what the checksum says leaves nothing behind.
// Errors do not hold the URL's credentials.
func (k *Kept) File(ctx context.Context, address string, o Options) (*File, error) {
	f, err := k.file(ctx, address, o)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", dockerfile.RedactURLs(address), bare(err))
	}
	k.use(f.Digest)
	return f, nil
}

// bare takes the URL out of an error of net/url and net/http: what they print
// may hold credentials.
func bare(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		err = fmt.Errorf("%w (those in the file that SSL_CERT_FILE names are trusted)", err)
	}
	return err
}

func (k *Kept) file(ctx context.Context, address string, o Options) (*File, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("not an http or https URL")
	}
	if o.Checksum != "" {
		if err := checkDigest(o.Checksum); err != nil {
			return nil, err
		}
		if f, err := k.verified(ctx, o.Checksum); f != nil || err != nil {
			return f, err
		}
	}
	if o.Offline {
		return nil, ErrNotKept
	}
	anonymous := *u
	anonymous.User = nil
	name := nameOf(anonymous.String())
	unlock, err := fetched.Lock(filepath.Join(k.dir, "urls"), name+".lock")
	if err != nil {
		return nil, err
	}
	defer unlock.Close()
	recorded := filepath.Join(k.dir, "urls", name+".json")
	var old record
	if o.Checksum == "" {
		old = k.recorded(recorded)
	}
	answer, err := get(ctx, u, &old)
	if err != nil {
		return nil, err
	}
	defer answer.close()
	if answer.unchanged {
		return &File{Path: k.path(old.Digest), Digest: old.Digest, Size: old.Size, Kept: true}, nil
	}
	f, err := k.download(answer, o)
	if err != nil {
		return nil, err
	}
	next := record{urlSchema, anonymous.Redacted(), f.Digest, f.Size, answer.header("ETag"), answer.header("Last-Modified")}
	return f, k.write(recorded, next)
}

// checkDigest wants the one hash that names content here.
func checkDigest(s string) error {
	digits, ok := strings.CutPrefix(s, "sha256:")
	if !ok || len(digits) != 64 || strings.Trim(digits, "0123456789abcdef") != "" {
		return fmt.Errorf("checksum %q: want sha256: and 64 hexadecimal digits", s)
	}
	return nil
}

// HasFile tells whether a file is kept, as far as that shows without reading it.
func (k *Kept) HasFile(checksum string) (path string, ok bool) {
	if checkDigest(checksum) != nil {
		return "", false
	}
	path = k.path(checksum)
	st, err := os.Lstat(path)
	return path, err == nil && st.Mode().IsRegular()
}

// path of a file that is or will be kept.
func (k *Kept) path(digest string) string {
	digits := strings.TrimPrefix(digest, "sha256:")
	return filepath.Join(k.dir, "sha256", digits[:2], digits)
}

// recorded reads what a URL gave; zero if it is not there, not readable, or its
// file is not.
func (k *Kept) recorded(name string) record {
	data, err := os.ReadFile(name)
	if err != nil {
		return record{}
	}
	var r record
	if json.Unmarshal(data, &r) != nil || r.Schema != urlSchema || checkDigest(r.Digest) != nil {
		return record{}
	}
	if st, err := os.Lstat(k.path(r.Digest)); err != nil || !st.Mode().IsRegular() || st.Size() != r.Size {
		return record{}
	}
	return r
}

func (k *Kept) write(name string, r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	temp, err := k.temp()
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(append(data, '\n'))
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), name)
}

func (k *Kept) temp() (*os.File, error) {
	dir := filepath.Join(k.dir, "tmp")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	sweep(dir)
	return os.CreateTemp(dir, "")
}

// sweep removes downloads that nobody can be at any more.
func sweep(dir string) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range list {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			_ = os.RemoveAll(filepath.Join(dir, e.Name())) // the next one tries again
		}
	}
}

// verified finds a kept file and reads it again: what has a checksum must have
// it now. A damaged file is removed and not found.
func (k *Kept) verified(ctx context.Context, digest string) (*File, error) {
	path := k.path(digest)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, &contextReader{ctx, f})
	if err != nil {
		return nil, err
	}
	if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != digest {
		return nil, os.Remove(path)
	}
	return &File{Path: path, Digest: digest, Size: n, Kept: true}, nil
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// download keeps the body of an answer.
func (k *Kept) download(a *answer, o Options) (_ *File, err error) {
	total := a.length()
	if total > o.limit() {
		return nil, fmt.Errorf("%d bytes, more than %d: %w", total, o.limit(), ErrTooLarge)
	}
	temp, err := k.temp()
	if err != nil {
		return nil, err
	}
	defer func() {
		temp.Close()
		os.Remove(temp.Name()) // fails after the rename
	}()
	h := sha256.New()
	n, err := copyBody(io.MultiWriter(temp, h), a, total, o)
	if err != nil {
		return nil, err
	}
	digest := "sha256:" + hex.EncodeToString(h.Sum(nil))
	if o.Checksum != "" && digest != o.Checksum {
		return nil, &ChecksumError{Want: o.Checksum, Got: digest}
	}
	path := k.path(digest)
	if err := errors.Join(temp.Chmod(0o400), temp.Sync(), temp.Close(), os.MkdirAll(filepath.Dir(path), 0o700)); err != nil {
		return nil, err
	}
	// A file that is there already stays: its hash is known to the index of files.
	if st, err := os.Lstat(path); err == nil && st.Mode().IsRegular() && st.Size() == n {
		return &File{Path: path, Digest: digest, Size: n}, nil
	}
	return &File{Path: path, Digest: digest, Size: n}, os.Rename(temp.Name(), path)
}

func copyBody(w io.Writer, a *answer, total int64, o Options) (int64, error) {
	buf := make([]byte, 128<<10)
	var n int64
	o.progress(0, total)
	for {
		m, err := a.read(buf)
		n += int64(m)
		if n > o.limit() {
			return n, fmt.Errorf("more than %d bytes: %w", o.limit(), ErrTooLarge)
		}
		if _, werr := w.Write(buf[:m]); werr != nil {
			return n, werr
		}
		if m > 0 {
			o.progress(n, total)
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("the download ended after %d bytes: %w", n, bare(err))
		}
	}
}
