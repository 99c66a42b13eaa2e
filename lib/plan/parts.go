package plan

import (
	"bytes"
	"runtime"
	"slices"
	"sync"
)

// partSize is how many steps one processor writes at a time.
const partSize = 256

// part is some steps and their text.
type part struct {
	steps   []*Step
	encoder encoder
	text    bytes.Buffer
	done    chan struct{}
}

// spareParts keeps the memory of parts that were written: one run may have
// thousands of them.
var spareParts = sync.Pool{New: func() any {
	return &part{encoder: encoder{buf: make([]byte, 0, 16<<10)}, done: make(chan struct{}, 1)}
}}

// many writes the steps of a long stage, with all processors: each makes the text
// of a part, and the parts go out in their order. There are only so many of them
// at a time.
func (e *encoder) many(steps []*Step) {
	begun := make(chan *part, runtime.GOMAXPROCS(0))
	go func() {
		defer close(begun)
		for steps := range slices.Chunk(steps, partSize) {
			p := spareParts.Get().(*part)
			p.steps = steps
			begun <- p
			go p.encode(e.most)
		}
	}()
	n := 0
	for p := range begun {
		<-p.done
		e.comma(n)
		e.flush()
		e.write(p.text.Bytes())
		n++
		spareParts.Put(p)
	}
}

func (p *part) encode(most int64) {
	p.text.Reset()
	p.encoder = encoder{w: &p.text, most: most, buf: p.encoder.buf}
	p.encoder.steps(p.steps)
	p.encoder.flush()
	p.done <- struct{}{}
}
