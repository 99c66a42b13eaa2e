package buildctx

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// dirTask is a directory that is read exactly once, by whoever claims it first.
type dirTask struct {
	job     dirJob
	claimed atomic.Bool
	done    chan struct{} // set when it was queued; closed when list is there
	list    dirList
}

// readAhead is a few workers and a short queue: what is in flight is bounded by
// the queue, not by the tree.
type readAhead struct {
	queue   chan *dirTask
	workers sync.WaitGroup
}

const queueLength = 64

// prefetch queues the directories of a list and returns what the queue had no
// room for. Workers start with the first directory that has company; a tree
// without branches needs none.
func (w *walker) prefetch(entries []entry) (rest []entry) {
	for i := range entries {
		task := entries[i].dir
		if task == nil || task.claimed.Load() {
			continue
		}
		if w.ahead == nil {
			w.ahead = w.startReadAhead()
		}
		task.done = make(chan struct{})
		select {
		case w.ahead.queue <- task:
		default:
			return entries[i:]
		}
	}
	return nil
}

func (w *walker) startReadAhead() *readAhead {
	a := &readAhead{queue: make(chan *dirTask, queueLength)}
	for range min(runtime.GOMAXPROCS(0), 8) - 1 {
		a.workers.Go(func() {
			for task := range a.queue {
				task.try(w)
			}
		})
	}
	return a
}

// try reads the directory, unless somebody else does.
func (t *dirTask) try(w *walker) {
	if t.claimed.CompareAndSwap(false, true) {
		t.list = w.read(t.job)
		close(t.done)
	}
}

// take returns the directory's list: read here and now, or by a worker. Until that
// is through, others of the queue are read here.
func (a *readAhead) take(w *walker, task *dirTask) dirList {
	if task.claimed.CompareAndSwap(false, true) {
		return w.read(task.job)
	}
	for {
		select {
		case <-task.done:
			return task.list
		case other := <-a.queue:
			other.try(w)
		}
	}
}

// stop ends the workers and waits for them.
func (w *walker) stop() {
	if w.ahead == nil {
		return
	}
	for {
		select {
		case task := <-w.ahead.queue:
			task.claimed.Store(true) // nobody will ask
			continue
		default:
		}
		break
	}
	close(w.ahead.queue)
	w.ahead.workers.Wait()
}
