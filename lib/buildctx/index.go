package buildctx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Index remembers content hashes by (device, inode, size, modification time,
// change time). It is an accelerator: a missing, damaged or foreign file is an
// empty index. Its methods may be called concurrently, and any number of
// processes may use one file.
//
// What makes it safe is the change time, which no program can set. A hash is
// kept only if the change time was older, when reading began, than the step of
// the clock that stamps files: then every later write leaves a later stamp. A
// change time in the future, which a clock that was set back leaves behind, is
// never trusted. Two things are beyond it, and Distrust is for them:
// writes through a shared memory mapping that was already dirty when the file
// was hashed, and file servers whose clock is off by more than seconds.
type Index struct {
	file  string
	saved *indexFile // as it was at OpenIndex

	distrusted bool

	news   atomic.Bool // something was learnt: until then nobody needs the lock
	mu     sync.RWMutex
	learnt map[fileID]record
	grains map[uint64]int64 // by device
}

// fileID names a file on this machine.
type fileID struct{ ino, dev uint64 }

func (a fileID) compare(b fileID) int {
	switch {
	case a == b:
		return 0
	case a.ino < b.ino || a.ino == b.ino && a.dev < b.dev:
		return -1
	}
	return 1
}

// record is what is known of a file.
type record struct {
	fileID
	size, mtime, ctime int64
	used               uint32 // day of last use, for eviction
	sum                [32]byte
}

const (
	// A record used is stamped again only after refreshDays, so that a build
	// that changes nothing writes nothing.
	refreshDays = 7
	// keepDays is how long an unused record stays.
	keepDays = 60
)

// OpenIndex opens the index in file, which need not exist. It reads little more
// than the header; the rest is mapped. It fails for what the system refuses,
// never for what is in the file.
func OpenIndex(file string) (*Index, error) {
	saved, err := readIndex(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errIndexFormat) {
		return nil, fmt.Errorf("open file index: %w", err)
	}
	return &Index{file: file, saved: saved, learnt: map[fileID]record{}, grains: map[uint64]int64{}}, nil
}

// Distrust makes the index answer no question any more, so that every file asked
// for is read. What is read is still put into it, over what may have been wrong.
// It comes before anything else.
func (x *Index) Distrust() { x.distrusted = true }

// Save adds what was learnt to the file; without news it writes nothing. The
// index stays usable.
func (x *Index) Save() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.learnt) == 0 {
		return nil
	}
	if err := saveIndex(x.file, x.learnt, today(time.Now().UnixNano())); err != nil {
		return fmt.Errorf("save file index: %w", err)
	}
	return nil
}

// Close releases the index without saving it. No Context may use it afterwards.
func (x *Index) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.learnt = map[fileID]record{}
	saved := x.saved
	x.saved = nil
	return saved.close()
}

// look is what one goroutine asks an index with, for one file after the other.
type look struct {
	now  int64 // the wall clock
	near int   // of indexFile.find
}

// get returns the hash of the file that info describes.
func (x *Index) get(info *Info, l *look) ([32]byte, bool) {
	if x.distrusted {
		return [32]byte{}, false
	}
	id := fileID{info.Ino, info.Dev}
	r, ok := x.find(id, &l.near)
	if !ok || r.size != info.Size || r.mtime != info.MTime || r.ctime != info.CTime || r.ctime > l.now {
		return [32]byte{}, false
	}
	if day := today(l.now); r.used+refreshDays < day {
		r.used = day
		x.learn(r)
	}
	return r.sum, true
}

func (x *Index) find(id fileID, near *int) (record, bool) {
	if x.news.Load() {
		x.mu.RLock()
		r, ok := x.learnt[id]
		x.mu.RUnlock()
		if ok {
			return r, true
		}
	}
	return x.saved.find(id, near)
}

// put keeps a hash, if it can be trusted later: opened is tickTime before the first
// byte was read, fd the open file.
func (x *Index) put(info *Info, sum [32]byte, opened int64, fd int) {
	grain, strict := x.grain(info.Dev, fd)
	if info.CTime >= opened-grain || strict && info.MTime >= opened-grain {
		return
	}
	x.learn(record{
		fileID: fileID{info.Ino, info.Dev},
		size:   info.Size, mtime: info.MTime, ctime: info.CTime,
		used: today(opened), sum: sum,
	})
}

func (x *Index) learn(r record) {
	x.mu.Lock()
	x.learnt[r.fileID] = r
	x.news.Store(true)
	x.mu.Unlock()
}

const (
	// localGrain is above the clock tick of any kernel configuration (10 ms), for
	// clocks of several processors and file systems that are not as exact as tickTime.
	localGrain = int64(50 * time.Millisecond)
	// foreignGrain is for file systems that stamp by another clock or in whole
	// seconds: FAT steps by two.
	foreignGrain = int64(3 * time.Second)
)

// grain returns the age from which a change time is certain, and whether the
// file system's change time cannot be relied on alone.
func (x *Index) grain(dev uint64, fd int) (int64, bool) {
	x.mu.RLock()
	grain, ok := x.grains[dev]
	x.mu.RUnlock()
	if !ok {
		grain = grainOf(isLocal(fd))
		x.mu.Lock()
		x.grains[dev] = grain
		x.mu.Unlock()
	}
	return grain, grain == foreignGrain
}

func grainOf(local bool) int64 {
	if local {
		return localGrain
	}
	return foreignGrain
}

func today(now int64) uint32 { return uint32(max(now, 0) / int64(24*time.Hour)) }

// discard removes a file that could not be completed.
func discard(f *os.File) {
	f.Close()
	os.Remove(f.Name())
}
