package store

import (
	"sync"
	"sync/atomic"
)

// chunkSize and chunksAhead bound the memory of a fan: 128 KiB times 16 per sink.
const (
	chunkSize   = 128 << 10
	chunksAhead = 16
)

type chunk struct {
	b    []byte
	refs atomic.Int32
}

var chunks = sync.Pool{New: func() any { return &chunk{b: make([]byte, 0, chunkSize)} }}

func (c *chunk) release() {
	if c.refs.Add(-1) == 0 {
		c.b = c.b[:0]
		chunks.Put(c)
	}
}

// fan is a writer that hands each byte to several sinks, each running in a
// goroutine of its own: a stream is hashed, compressed and written at once, at
// the speed of the slowest, in bounded memory. A sink that fails stops getting
// bytes, and Write reports its error soon after.
type fan struct {
	sinks []*sink
	cur   *chunk
	done  sync.WaitGroup
}

type sink struct {
	write func([]byte) error
	queue chan *chunk
	err   atomic.Pointer[error]
}

func newFan(writes ...func([]byte) error) *fan {
	f := &fan{}
	for _, w := range writes {
		s := &sink{write: w, queue: make(chan *chunk, chunksAhead)}
		f.sinks = append(f.sinks, s)
		f.done.Go(s.run)
	}
	return f
}

func (s *sink) run() {
	for c := range s.queue {
		if s.err.Load() == nil {
			if err := s.write(c.b); err != nil {
				s.err.Store(&err)
			}
		}
		c.release()
	}
}

// Write copies p; it may block while the slowest sink is behind.
func (f *fan) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if f.cur == nil {
			f.cur = chunks.Get().(*chunk)
		}
		k := min(len(p), chunkSize-len(f.cur.b))
		f.cur.b = append(f.cur.b, p[:k]...)
		p = p[k:]
		if len(f.cur.b) == chunkSize {
			f.send()
			if err := f.failed(); err != nil {
				return n - len(p), err
			}
		}
	}
	return n, nil
}

func (f *fan) send() {
	f.cur.refs.Store(int32(len(f.sinks)))
	for _, s := range f.sinks {
		s.queue <- f.cur
	}
	f.cur = nil
}

func (f *fan) failed() error {
	for _, s := range f.sinks {
		if err := s.err.Load(); err != nil {
			return *err
		}
	}
	return nil
}

// Close hands out what is left, waits for the sinks and returns the first
// error of any. It must be called once.
func (f *fan) Close() error {
	if f.cur != nil {
		f.send()
	}
	for _, s := range f.sinks {
		close(s.queue)
	}
	f.done.Wait()
	return f.failed()
}

// hashSink makes a hash a sink.
func hashSink(h interface{ Write([]byte) (int, error) }) func([]byte) error {
	return func(b []byte) error { _, err := h.Write(b); return err }
}
