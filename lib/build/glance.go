package build

import (
	"context"
	"encoding/hex"
	"fmt"

	"docksmith/lib/buildctx"
)

// A step that takes files from a directory has an alias by what lstat says of them. It
// is tried before its key: where nothing was touched since, no list of the files is
// made, and none is looked up in the index.

// slots is how many aliases of this kind a step may have. Which of them is a
// directory's, its inode decides: two work trees seldom take each other's, and of many
// fresh clones no more than these remain.
const slots = 8

// fingerprint begins that of a directory. Roots have none: their layers say what they are.
func (t *tree) fingerprint() *buildctx.Fingerprint {
	if t.root != nil {
		return nil
	}
	return t.files.NewFingerprint()
}

// add makes what was seen of a tree a part of the alias. It reports whether that can
// be relied on.
func (a *alias) add(name string, t *tree, seen *buildctx.Fingerprint) bool {
	if seen == nil {
		return false
	}
	sum, ok := seen.Sum()
	a.pre.Add(name, fmt.Sprint("slot ", t.files.Inode()%slots))
	a.seen += hex.EncodeToString(sum[:])
	return ok
}

// glance looks at the sources. What is wrong with them is told when they are read.
func (c *copyJob) glance(ctx context.Context) *alias {
	picks, err := c.pick(ctx, c.words)
	if err != nil {
		return nil
	}
	seen := c.tree.fingerprint()
	for i := range picks {
		if p := &picks[i]; !p.excludedBy(c.exclude) {
			c.tree.files.Skim(p.info.Path, p.walk(c.exclude, seen))
		}
	}
	return c.alias(seen)
}

func (c *copyJob) listed() *alias { return c.alias(c.seen) }

func (c *copyJob) alias(seen *buildctx.Fingerprint) *alias {
	a := &alias{pre: c.preimage()}
	if !a.add("seen", c.tree, seen) {
		return nil
	}
	return a
}

// quick names stages by their layers; nil where there is none, or files of a
// directory decide.
func (r *runJob) quick() *alias {
	return r.alias(func(*bindFiles) *buildctx.Fingerprint { return nil })
}

// glance looks at what is bound.
func (r *runJob) glance(ctx context.Context) *alias {
	return r.alias(func(f *bindFiles) *buildctx.Fingerprint {
		if f.find(ctx) != nil {
			return nil
		}
		seen := f.tree.fingerprint()
		f.tree.files.Skim(f.pick.info.Path, f.pick.walk(nil, seen))
		return seen
	})
}

func (r *runJob) listed() *alias {
	return r.alias(func(f *bindFiles) *buildctx.Fingerprint { return f.seen })
}

// alias is by what was seen of directories, and the layers of stages; nil where there
// are neither, or what was seen is not enough.
func (r *runJob) alias(seen func(*bindFiles) *buildctx.Fingerprint) *alias {
	a := &alias{pre: r.preimage()}
	binds := false
	for _, m := range r.mounts {
		if m.bind == nil || m.wholeStage() {
			continue
		}
		binds = true
		if m.src.stage != nil {
			a.pre.Add("from "+m.target, m.src.stage.chain.String())
			continue
		}
		look := seen(m.bind) // which opens the tree
		if !a.add("seen "+m.target, m.bind.tree, look) {
			return nil
		}
	}
	if !binds {
		return nil
	}
	return a
}
