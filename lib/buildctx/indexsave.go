package buildctx

import (
	"bufio"
	"errors"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"docksmith/lib/flock"

	"golang.org/x/sys/unix"
)

// saveIndex adds records to the file as it is now, which another process may
// have changed since this one read it. Writers take turns by a lock on a file
// beside it.
func saveIndex(file string, learnt map[fileID]record, day uint32) error {
	lock, err := os.OpenFile(file+".lock", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := flock.Lock(lock, flock.Exclusive); err != nil {
		return err
	}
	old, err := readIndex(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errIndexFormat) {
		return err
	}
	defer old.close()
	fresh := slices.SortedFunc(maps.Values(learnt), func(a, b record) int { return a.compare(b.fileID) })
	if old != nil && old.len()-old.base+len(fresh) <= max(minTail, old.base/8) {
		return appendIndex(file, old.len(), fresh)
	}
	return rewriteIndex(file, old, fresh, day)
}

// appendIndex writes records after the count that the file holds, over what an
// append that was cut may have left there.
func appendIndex(file string, count int, fresh []record) error {
	var data []byte
	for _, r := range fresh {
		data = appendRecord(data, r)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, int64(count+1)*recordSize)
	return errors.Join(err, f.Close())
}

func rewriteIndex(file string, old *indexFile, fresh []record, day uint32) (err error) {
	keep, count := survivors(old, fresh, day)
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			discard(f)
		}
	}()
	w := bufio.NewWriterSize(f, 64<<10)
	w.Write(appendHeader(nil, count))
	var buf [recordSize]byte
	for r := range merged(old, fresh, day) {
		if count > 0 && r.used >= keep {
			w.Write(appendRecord(buf[:0], r))
			count--
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	// No sync: after a power loss the worst is an empty index.
	return os.Rename(f.Name(), file)
}

// survivors returns the day since which a record must have been used to stay,
// and how many do.
func survivors(old *indexFile, fresh []record, day uint32) (since uint32, count int) {
	byDay := map[uint32]int{}
	for r := range merged(old, fresh, day) {
		if r.used+keepDays >= day {
			byDay[r.used]++
		}
	}
	days := slices.Sorted(maps.Keys(byDay))
	slices.Reverse(days)
	since = day + 1
	if len(days) > 0 {
		since = days[0] // at least the latest, up to the limit
	}
	for _, d := range days {
		if count+byDay[d] > maxRecords {
			if count == 0 {
				count = maxRecords
			}
			break
		}
		since, count = d, count+byDay[d]
	}
	return since, count
}

// merged yields one record for each file, in order: the latest of base, tail and
// fresh, damaged ones left out.
func merged(old *indexFile, fresh []record, day uint32) iter.Seq[record] {
	return func(yield func(record) bool) {
		news := newest(old, fresh)
		for r := range old.sorted() {
			for len(news) > 0 && news[0].compare(r.fileID) < 0 {
				if !yield(news[0].notAfter(day)) {
					return
				}
				news = news[1:]
			}
			if len(news) > 0 && news[0].fileID == r.fileID {
				continue // yielded when the next record is greater, or at the end
			}
			if !yield(r.notAfter(day)) {
				return
			}
		}
		for _, r := range news {
			if !yield(r.notAfter(day)) {
				return
			}
		}
	}
}

// newest is the sorted sum of the file's tail and fresh, which wins.
func newest(old *indexFile, fresh []record) []record {
	latest := map[fileID]record{}
	if old != nil {
		for _, i := range old.tail {
			if r, ok := decodeRecord(old.raw(i)); ok {
				latest[r.fileID] = r
			}
		}
	}
	for _, r := range fresh {
		latest[r.fileID] = r
	}
	return slices.SortedFunc(maps.Values(latest), func(a, b record) int { return a.compare(b.fileID) })
}

// sorted yields the records of the base that a lookup can find.
func (x *indexFile) sorted() iter.Seq[record] {
	return func(yield func(record) bool) {
		if x == nil {
			return
		}
		var last fileID
		for i := range x.base {
			r, ok := decodeRecord(x.raw(i))
			if !ok || i > 0 && r.compare(last) <= 0 {
				continue
			}
			last = r.fileID
			if !yield(r) {
				return
			}
		}
	}
}

// notAfter takes back a last use that lies in the future, so that a clock that
// once ran ahead keeps nothing for ever.
func (r record) notAfter(day uint32) record {
	r.used = min(r.used, day)
	return r
}
