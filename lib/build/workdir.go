package build

import (
	"context"
	"errors"
	"path"
	"strings"

	"docksmith/lib/plan"
	"docksmith/lib/rootfs"
)

// workdir executes WORKDIR. It makes the directory, owned by the user that
// follows commands would run as, in a layer of its own; a directory that
// exists makes none.
func (b *builder) workdir(ctx context.Context, s *stage, st *plan.Step) (Event, error) {
	word, err := b.word(s.scope(), st.Args[0])
	if err != nil {
		return Event{}, err
	}
	if word == "" {
		return Event{}, errors.New("the directory's name is empty")
	}
	dir := path.Clean(s.absolute(word))
	s.img.Config.WorkingDir = dir
	text := "WORKDIR " + dir
	if dir == "/" {
		b.record(s, text, true)
		return Event{}, nil
	}
	user := s.img.Config.User
	p := b.newPreimage(s, st)
	p.Add("working directory", dir)
	p.Add("user", user)
	return b.layerStep(ctx, s, &work{step: st, text: text, pre: p, quiet: true, make: func(ctx context.Context, m *maker) error {
		return m.makeWorkdir(ctx, strings.TrimPrefix(dir, "/"), user)
	}})
}

func (m *maker) makeWorkdir(ctx context.Context, dir, user string) error {
	root, err := m.root(ctx)
	if err != nil {
		return err
	}
	d := newDraft(root)
	at, err := d.resolve(dir)
	if err != nil {
		return err
	}
	if n, err := d.at(at); err != nil {
		return err
	} else if n != nil && n.kept {
		m.empty = true
		return d.mkdirAll(at, owner{}, 0o755) // an error if it is not a directory
	}
	var o owner
	if user != "" {
		o, err = lookupOwner(user, root)
		if errors.Is(err, rootfs.ErrUnknownName) {
			o, err = owner{}, nil // a command of that user will fail, but there may be none
		}
		if err != nil {
			return err
		}
	}
	if err := d.mkdirAll(at, o, 0o755); err != nil {
		return err
	}
	return m.pack(ctx, d)
}
