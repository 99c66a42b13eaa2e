package hostile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// fillerLimit is how much a program may read ahead before it begins to unpack.
const fillerLimit = 16 * megabyte

// swaps are what somebody else does in the tree while a layer is unpacked to it,
// each with what the layer has after that.
func races() []Fixture {
	after := []item{
		file("d/new", evil), dir("d/new-dir"), symlink("d/new-link", "x"), hardlink("d/new-name", "first"),
		file("d/"+canary, evil), file("d/.wh.dir", ""), {name: "d/new-fifo", kind: '6'},
	}
	many := make([]item, 0, 400)
	for i := range cap(many) {
		many = append(many, file(fmt.Sprintf("d/new-%d", i), evil))
	}
	race := func(name string, before, after []item) Fixture {
		return Fixture{Row: 14, Name: "race/" + name, race: true, layers: func(places) [][]byte {
			return [][]byte{tarOf(append(append(before, file("d/"+ready, "x")), after...)...)}
		}}
	}
	first := []item{file("first", "x"), dir("d")}
	return []Fixture{
		race("directory", first, after),
		race("many-files", first, many),
		race("opaque", first, []item{file("d/.wh..wh..opq", "")}),
		race("attributes", first, []item{{name: "d/", kind: '5', mode: 0o777, xattrs: []string{"user.evil=1"}}, {name: "d/dir/", kind: '5', mode: 0o700}}),
	}
}

// ready is the file in d that tells an attacker that the program is at work there.
const ready = "ready"

// racer flips the directory d in the root and a link to the outside.
type racer struct{ d, link, aside string }

func newRacer(p places) *racer {
	return &racer{filepath.Join(p.root, "d"), filepath.Join(p.root, "zz-link"), filepath.Join(p.root, "zz-aside")}
}

func (r *racer) begun() bool {
	_, err := os.Lstat(filepath.Join(r.d, ready))
	return err == nil
}

// flip puts the link to the place of the directory, or back.
func (r *racer) flip() {
	if os.Rename(r.aside, r.d+"-back") == nil { // the link is there
		_ = os.Rename(r.d, r.link)
		_ = os.Rename(r.d+"-back", r.d)
		return
	}
	if _, err := os.Lstat(r.link); err != nil {
		_ = os.Symlink("../outside", r.link)
	}
	if os.Rename(r.d, r.aside) == nil {
		_ = os.Rename(r.link, r.d)
	}
}

// paced is the layer in, of which what comes after the file that says so is held
// back until that file is there and the link is in the place of its directory.
// Nothing depends on who is faster: while the program has not got there, it gets
// files that do not matter.
type paced struct {
	r      *racer
	next   []byte // what to give now
	rest   []byte // what is held back
	fill   []byte
	filled int
	late   func() // is called when the program reads everything before it begins
}

func newPaced(r *racer, in []byte, late func()) io.Reader {
	var mark bytes.Buffer
	file("d/"+ready, "x").write(&mark)
	at := bytes.Index(in, mark.Bytes())
	if at < 0 {
		return bytes.NewReader(in)
	}
	at += mark.Len()
	var fill bytes.Buffer
	file("filler", string(make([]byte, 32<<10))).write(&fill)
	return &paced{r: r, next: in[:at], rest: in[at:], fill: fill.Bytes(), late: late}
}

func (s *paced) Read(p []byte) (int, error) {
	for len(s.next) == 0 {
		switch {
		case s.rest == nil:
			return 0, io.EOF
		case !s.r.begun() && s.filled < fillerLimit:
			s.next, s.filled = s.fill, s.filled+len(s.fill)
		default:
			if s.r.begun() {
				s.r.flip()
			} else {
				s.late()
			}
			s.next, s.rest = s.rest, nil
		}
	}
	n := copy(p, s.next)
	s.next = s.next[n:]
	return n, nil
}

// harass flips until ctx is done, for programs whose input does not come in step.
func (r *racer) harass(ctx context.Context) {
	for ctx.Err() == nil {
		if r.begun() {
			break
		}
		time.Sleep(time.Millisecond)
	}
	for ctx.Err() == nil {
		r.flip()
		time.Sleep(200 * time.Microsecond)
	}
}
