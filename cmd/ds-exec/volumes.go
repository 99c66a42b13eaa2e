package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"docksmith/lib/cli"
	"docksmith/lib/container"
	"docksmith/lib/sandbox"
	"docksmith/lib/volume"
)

// annotationVolumes are the paths that an image declares as volumes.
const annotationVolumes = "dev.docksmith.volumes"

// volumeSet is where the volumes of the user are.
func volumeSet(stdio *cli.IO) (*volume.Set, error) {
	root, err := stdio.Root()
	if err != nil {
		return nil, err
	}
	return volume.Open(filepath.Join(root, "volumes")), nil
}

// held are the volumes of a container that this process keeps from being removed.
type held struct {
	set     *volume.Set
	list    []container.Volume
	locks   []io.Closer
	filling []func() error
}

// place makes the mounts that are asked for, and those of the image's volumes,
// with the volumes they take.
func (s *settings) place(stdio *cli.IO, b *sandbox.Bundle) (h *held, err error) {
	list := s.wished
	if s.smith {
		list = smith(list)
	}
	if s.readonlyTmpfs {
		list = unlessThere(list, memory("/run", "mode=755", "tmpcopyup"), memory("/tmp", "mode=1777"), memory("/var/tmp", "mode=1777"))
	}
	declared, err := s.declared(b)
	if err != nil {
		return nil, err
	}
	list = unlessThere(list, declared...)
	if s.smith {
		list = unlessThere(list, memory("/write", "tmpcopyup"))
	}
	outerFirst(list)
	set, err := volumeSet(stdio)
	if err != nil {
		return nil, err
	}
	h = &held{set: set}
	for _, w := range list {
		if w.volume {
			v, err := h.take(w.name, volume.Options{Anonymous: w.name == "", Labels: w.labels})
			if err != nil {
				return nil, errors.Join(err, h.discard(stdio, ""))
			}
			h.list = append(h.list, container.Volume{Name: v.Name, Destination: w.Destination, Anonymous: w.name == ""})
			w.Source = v.Data()
		}
		s.Mounts = append(s.Mounts, w.Mount)
	}
	return h, nil
}

// unlessThere adds mounts whose places the list has not.
func unlessThere(list []wish, more ...wish) []wish {
	for _, w := range more {
		if !slices.ContainsFunc(list, func(o wish) bool { return o.Destination == w.Destination }) {
			list = append(list, w)
		}
	}
	return list
}

// smith is Oracle smith's convention: the root is read-only, what the program is
// given lies in /read, what it writes in /write, and in /run what need not last.
func smith(list []wish) []wish {
	list = slices.Clone(list)
	for i, w := range list {
		if w.Destination == "/read" || strings.HasPrefix(w.Destination, "/read/") {
			list[i].Options = append(slices.Clone(w.Options), "ro")
		}
	}
	return unlessThere(list, memory("/run", "tmpcopyup"))
}

// declared are new volumes for the paths that the image declares. At a level that
// may be without mounts there are none.
func (s *settings) declared(b *sandbox.Bundle) (list []wish, err error) {
	text := b.Spec.Annotations[annotationVolumes]
	if text == "" || s.noVolumes {
		return nil, nil
	}
	var paths []string
	if err := json.Unmarshal([]byte(text), &paths); err != nil {
		return nil, fmt.Errorf("config.json: annotation %s: %w", annotationVolumes, err)
	}
	if level := s.Level(); level == sandbox.IsolationChroot || level == sandbox.IsolationNone {
		s.Warn(fmt.Sprintf("isolation %s: no volumes for %s", level, strings.Join(paths, ", ")))
		return nil, nil
	}
	for _, p := range paths { // never read as words of --volume: "/etc:/x" is a path
		w := newVolume(path.Join("/", p))
		if w.Destination == "/" {
			return nil, fmt.Errorf("the image declares %q a volume: nothing is mounted on /", p)
		}
		list = append(list, w)
	}
	return list, nil
}

// take makes or finds a volume and holds it.
func (h *held) take(name string, o volume.Options) (*volume.Volume, error) {
	for {
		v, err := h.set.Create(name, o)
		if err != nil {
			return nil, err
		}
		lock, err := v.Hold()
		if errors.Is(err, volume.ErrNotFound) && name != "" {
			continue // it was being removed: another one
		}
		if err != nil {
			return nil, err
		}
		h.locks = append(h.locks, lock)
		return v, nil
	}
}

// takeAll holds the volumes that a container's record names.
func takeAll(stdio *cli.IO, list []container.Volume) (*held, error) {
	set, err := volumeSet(stdio)
	if err != nil {
		return nil, err
	}
	h := &held{set: set, list: list}
	for _, v := range list {
		if _, err := h.take(v.Name, volume.Options{Anonymous: v.Anonymous}); err != nil {
			h.release()
			return nil, err
		}
	}
	return h, nil
}

// fill begins to fill the volumes that are empty, which the sandbox does. Each
// once, and in the order of their names: others may fill the same.
func (h *held) fill() error {
	var names []string
	for _, v := range h.list {
		names = append(names, v.Name)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		v, err := h.set.Get(name)
		if err != nil {
			return err
		}
		done, err := v.Fill()
		if err != nil {
			return err
		}
		if done != nil {
			h.filling = append(h.filling, done)
		}
	}
	return nil
}

// filled tells others that the volumes have what they are to have.
func (h *held) filled() (err error) {
	for _, done := range h.filling {
		err = errors.Join(err, done())
	}
	h.filling = nil
	return err
}

// release lets go of the volumes. What was being filled will be filled anew.
func (h *held) release() {
	for _, l := range h.locks {
		l.Close()
	}
	h.locks = nil
}

// discard lets go of the volumes, and removes those that were made for the
// container, whose id it is.
func (h *held) discard(stdio *cli.IO, id string) error {
	h.release()
	return discardVolumes(stdio, h.list, id)
}

// discardVolumes removes the volumes that were made for a container and that no
// other one has.
func discardVolumes(stdio *cli.IO, list []container.Volume, id string) error {
	var errs []error
	for _, v := range list {
		if !v.Anonymous {
			continue
		}
		set, err := volumeSet(stdio)
		if err == nil {
			err = set.Remove(v.Name, users(stdio, id))
		}
		if !errors.Is(err, volume.ErrNotFound) && !errors.Is(err, volume.ErrInUse) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// users gives a function that names the containers with a volume, but for one, at
// the moment of the call.
func users(stdio *cli.IO, except string) func(name string) ([]string, error) {
	return func(name string) ([]string, error) {
		all, err := allUsers(stdio, except)
		return all[name], err
	}
}

// allUsers names the containers with each volume, but for one container.
func allUsers(stdio *cli.IO, except string) (map[string][]string, error) {
	t, err := table(stdio)
	if err != nil {
		return nil, err
	}
	all, err := t.List()
	if err != nil {
		return nil, err
	}
	who := map[string][]string{}
	for _, s := range all {
		if s.ID == except {
			continue
		}
		for i, v := range s.Volumes {
			has := func(earlier container.Volume) bool { return earlier.Name == v.Name }
			if !slices.ContainsFunc(s.Volumes[:i], has) {
				who[v.Name] = append(who[v.Name], nameOf(s))
			}
		}
	}
	return who, nil
}

// nameOf is what people call a container.
func nameOf(s container.State) string {
	if s.Name != "" {
		return s.Name
	}
	return cut(s.ID, shortID, false)
}
