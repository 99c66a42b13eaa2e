package buildctx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zeebo/blake3"
)

// ErrChanged is the answer to a file that is no longer what it was when it was
// described, or that was written to while it was read.
var ErrChanged = errors.New("file changed while it was read")

// Reader reads a file of the context and hashes what it reads. It is not safe
// for concurrent use.
type Reader struct {
	c      *Context
	fd     int
	info   Info
	opened int64          // tickTime before the first byte was read
	hash   *blake3.Hasher // nil when sum was known from the index
	sum    [32]byte
	read   int64
	eof    bool
	done   bool // sum and sumErr are final for what was read so far
	sumErr error
}

// Open opens a regular file for reading. Operand may lead through symbolic
// links, as with Stat. A FIFO, socket, device or directory is refused without
// being opened.
func (c *Context) Open(operand string) (*Reader, error) {
	info, err := c.Stat(operand)
	if err != nil {
		return nil, err
	}
	return c.OpenInfo(info)
}

// OpenInfo is Open of an entry that Walk, Stat or Lstat yielded. If the path no
// longer names the same file with the same size and times, it is ErrChanged.
func (c *Context) OpenInfo(info Info) (*Reader, error) {
	r, err := c.open(info)
	if err != nil {
		return nil, err
	}
	if sum, ok := c.known(&info, &look{now: r.opened}); ok {
		r.sum = sum
	} else {
		r.hash = hashers.Get().(*blake3.Hasher)
		r.hash.Reset()
	}
	return r, nil
}

var hashers = sync.Pool{New: func() any { return blake3.New() }}

func (c *Context) open(info Info) (*Reader, error) {
	if info.Type != File {
		return nil, pathError("open", info.Path, errors.New("not a regular file: "+info.Type.String()))
	}
	opened := tickTime()
	// Not to hang if the file was replaced by a FIFO since it was described.
	fd, err := openIn(c.fd, info.Path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, pathError("open", info.Path, err)
	}
	r := &Reader{c: c, fd: fd, info: info, opened: opened}
	if err := r.unchanged(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return r, nil
}

// unchanged compares the file with its description.
func (r *Reader) unchanged() error {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(r.fd, &st) }); err != nil {
		return pathError("stat", r.info.Path, err)
	}
	var now Info
	now.fill(&st)
	if now.Type != File || !now.sameContent(&r.info) {
		return pathError("read", r.info.Path, ErrChanged)
	}
	return nil
}

// Info describes the file as it was when it was opened.
func (r *Reader) Info() Info { return r.info }

func (r *Reader) Read(p []byte) (int, error) {
	if r.fd < 0 {
		return 0, pathError("read", r.info.Path, os.ErrClosed)
	}
	if len(p) == 0 {
		return 0, nil
	}
	var n int
	err := retry(func() (err error) { n, err = unix.Read(r.fd, p); return err })
	if err != nil {
		return 0, pathError("read", r.info.Path, err)
	}
	if n == 0 {
		r.eof = true
		return 0, io.EOF
	}
	r.read += int64(n)
	r.done = false
	if r.hash != nil {
		r.hash.Write(p[:n])
	}
	return n, nil
}

// Close closes the file. If all of it was read its hash is put into the index,
// unless the file was written to meanwhile.
func (r *Reader) Close() error {
	if r.fd < 0 {
		return nil
	}
	r.finish()
	if r.c.count != nil {
		r.c.count.Add(r.read)
	}
	err := unix.Close(r.fd)
	r.fd = -1
	if r.hash != nil {
		hashers.Put(r.hash)
		r.hash = nil
	}
	if err != nil {
		return pathError("close", r.info.Path, err)
	}
	return nil
}

// Sum is the BLAKE3 hash of the bytes read, once as many as Info().Size or all
// of them were; before that it is an error. It may be called after Close. When
// the index knew the file, the bytes are not hashed again: then Sum is what the
// index says, or ErrChanged if the file was written to meanwhile.
func (r *Reader) Sum() ([32]byte, error) {
	if r.fd >= 0 {
		r.finish()
	}
	if !r.done {
		return [32]byte{}, pathError("hash", r.info.Path, io.ErrUnexpectedEOF)
	}
	return r.sum, r.sumErr
}

func (r *Reader) finish() {
	if r.done || !r.eof && r.read < r.info.Size {
		return
	}
	r.done = true
	changed := r.unchanged()
	if r.hash == nil {
		r.sumErr = changed
		return
	}
	r.hash.Sum(r.sum[:0])
	if changed == nil && r.c.o.Index != nil {
		r.c.o.Index.put(&r.info, r.sum, r.opened, r.fd)
	}
}

// known asks the index.
func (c *Context) known(info *Info, l *look) ([32]byte, bool) {
	if c.o.Index == nil {
		return [32]byte{}, false
	}
	return c.o.Index.get(info, l)
}

// Hash is the BLAKE3 hash of a regular file's content: from the index where
// that is certain, else by reading it, which puts it into the index.
func (c *Context) Hash(operand string) ([32]byte, error) {
	info, err := c.Stat(operand)
	if err != nil {
		return [32]byte{}, err
	}
	if info.Type != File {
		return [32]byte{}, pathError("hash", info.Path, errors.New("not a regular file: "+info.Type.String()))
	}
	sums, err := c.HashAll(context.Background(), []*Info{&info})
	if err != nil {
		return [32]byte{}, err
	}
	return sums[0], nil
}

// hashBatch is how many files a worker takes at a time: enough that the shared
// counter costs nothing, few enough that big files spread.
const hashBatch = 32

// HashAll hashes the regular files among infos, which Walk, Stat or Lstat
// yielded, several at a time; a file that the index knows is not opened. The
// sum of anything else is zero. A file that is no longer what its Info says is
// ErrChanged.
func (c *Context) HashAll(ctx context.Context, infos []*Info) ([][32]byte, error) {
	sums := make([][32]byte, len(infos))
	now := time.Now().UnixNano()
	workers := min(runtime.GOMAXPROCS(0), 8, len(infos)/hashBatch+1)
	errs := make([]error, workers)
	var next atomic.Int64
	var stop atomic.Bool
	work := func(worker int) {
		buf := buffers.Get().(*[]byte)
		defer buffers.Put(buf)
		l := look{now: now}
		for !stop.Load() && ctx.Err() == nil {
			end := int(next.Add(hashBatch))
			if end-hashBatch >= len(infos) {
				return
			}
			for i := end - hashBatch; i < min(end, len(infos)); i++ {
				var err error
				if sums[i], err = c.hashInfo(ctx, infos[i], &l, *buf); err != nil {
					errs[worker] = err
					stop.Store(true)
					return
				}
			}
		}
	}
	var group sync.WaitGroup
	for worker := 1; worker < workers; worker++ {
		group.Go(func() { work(worker) })
	}
	work(0)
	group.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return sums, errors.Join(errs...)
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

func (c *Context) hashInfo(ctx context.Context, info *Info, l *look, buf []byte) ([32]byte, error) {
	if info.Type != File {
		return [32]byte{}, nil
	}
	if sum, ok := c.known(info, l); ok {
		return sum, nil
	}
	r, err := c.open(*info)
	if err != nil {
		return [32]byte{}, err
	}
	defer r.Close()
	r.hash = hashers.Get().(*blake3.Hasher)
	r.hash.Reset()
	for {
		_, err := r.Read(buf)
		if err == io.EOF || r.read >= info.Size && err == nil {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return [32]byte{}, err
		}
	}
	// A file that changed has no hash that its description could be kept with.
	if r.read != info.Size {
		return [32]byte{}, fmt.Errorf("hash %s: %w", info.Path, ErrChanged)
	}
	if err := r.unchanged(); err != nil {
		return [32]byte{}, err
	}
	return r.Sum()
}
