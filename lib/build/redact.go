package build

import (
	"bytes"
	"cmp"
	"io"
	"slices"
)

// redacted stands for a secret in what is shown.
const redacted = "***"

// minSecret is how long a secret must be to be looked for: shorter ones are
// found by chance, and would tell by their absence what they are.
const minSecret = 8

// redactor replaces secrets by "***" in what passes, also where one is split
// over several writes. What may be the beginning of a secret waits for the rest;
// Close lets it go.
type redactor struct {
	w       io.Writer
	secrets map[[minSecret]byte][][]byte // by their first bytes, longest first
	heads   map[string]bool              // proper prefixes of the first bytes
	begins  [256]bool                    // what one begins with
	held    []byte
}

// newRedactor looks for the values, each without the white space around it, and
// for each of their lines.
func newRedactor(w io.Writer, values map[string][]byte) *redactor {
	r := &redactor{w: w, secrets: map[[minSecret]byte][][]byte{}, heads: map[string]bool{}}
	for _, v := range values {
		v = bytes.TrimSpace(v)
		r.add(v)
		for line := range bytes.Lines(v) {
			r.add(bytes.TrimSpace(line))
		}
	}
	for key, list := range r.secrets {
		slices.SortFunc(list, func(a, b []byte) int { return cmp.Or(len(b)-len(a), bytes.Compare(a, b)) })
		r.secrets[key] = slices.CompactFunc(list, bytes.Equal)
	}
	return r
}

func (r *redactor) add(secret []byte) {
	if len(secret) < minSecret {
		return
	}
	key := [minSecret]byte(secret)
	r.secrets[key] = append(r.secrets[key], secret)
	r.begins[key[0]] = true
	for n := 1; n < minSecret; n++ {
		r.heads[string(key[:n])] = true
	}
}

// Write implements io.Writer. It takes all of p, whatever waits of it.
func (r *redactor) Write(p []byte) (int, error) {
	data := append(r.held, p...)
	clean, rest := r.clean(data, false)
	r.held = slices.Clone(rest)
	if len(clean) > 0 {
		if _, err := r.w.Write(clean); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// Close passes on what waits. It does not close the writer behind.
func (r *redactor) Close() error {
	clean, _ := r.clean(r.held, true)
	r.held = nil
	if len(clean) == 0 {
		return nil
	}
	_, err := r.w.Write(clean)
	return err
}

// clean gives data without secrets, up to where one may begin that is not
// whole yet; at the end nothing more comes.
func (r *redactor) clean(data []byte, end bool) (clean, rest []byte) {
	from := 0
	for i := 0; i < len(data); {
		if !r.begins[data[i]] {
			i++
			continue
		}
		n, wait := r.match(data[i:])
		switch {
		case wait && !end:
			return append(clean, data[from:i]...), data[i:]
		case n > 0:
			clean = append(append(clean, data[from:i]...), redacted...)
			i += n
			from = i
		default:
			i++
		}
	}
	return append(clean, data[from:]...), nil
}

// match tells how many bytes of a secret data begins with, and whether it may
// begin with one that more data would show, and that is longer.
func (r *redactor) match(data []byte) (n int, wait bool) {
	if len(data) < minSecret {
		return 0, r.heads[string(data)]
	}
	for _, s := range r.secrets[[minSecret]byte(data)] {
		if bytes.HasPrefix(data, s) {
			return len(s), wait
		}
		if len(data) < len(s) && bytes.HasPrefix(s, data) {
			wait = true
		}
	}
	return 0, wait
}
