package layer

import "golang.org/x/sys/unix"

// holeWriter writes a file of a known size from its start, leaving holes where
// Apply leaves them.
type holeWriter struct {
	fd       int
	size     int64
	off, end int64 // end: of what was written, not left out
}

// Write never keeps p.
func (h *holeWriter) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, zero := span(p[done:], h.size)
		if !zero {
			if err := writeAt(h.fd, p[done:done+n], h.off); err != nil {
				return done, err
			}
			h.end = h.off + int64(n)
		}
		h.off += int64(n)
		done += n
	}
	return done, nil
}

// finish makes the file as long as what was written.
func (h *holeWriter) finish() error {
	if h.end == h.off {
		return nil
	}
	return retry(func() error { return unix.Ftruncate(h.fd, h.off) })
}
