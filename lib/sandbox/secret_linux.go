package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A secret is bytes that the caller has and the bundle only names: as a mount of
// type TypeSecret, whose source is the secret's name, or in AnnotationSecretEnv.
// The bytes go from memory to a file system in memory and to the environment of
// the process, and nowhere else.

// secretEnv reads AnnotationSecretEnv.
func secretEnv(s *specs.Spec) (map[string]string, error) {
	note := s.Annotations[AnnotationSecretEnv]
	if note == "" {
		return nil, nil
	}
	var env map[string]string
	if err := json.Unmarshal([]byte(note), &env); err != nil {
		return nil, fmt.Errorf("annotation %s: %w", AnnotationSecretEnv, err)
	}
	return env, nil
}

// withoutLacking drops the mounts of secrets, and of sockets marked as such,
// that are not here, and names them: a bundle outlives what it was made with.
func (c *container) withoutLacking() (lacking []string, err error) {
	note := func(name string) {
		if !slices.Contains(lacking, name) {
			lacking = append(lacking, name)
		}
	}
	c.spec.Mounts = slices.DeleteFunc(slices.Clone(c.spec.Mounts), func(m specs.Mount) bool {
		name, gone := "", false
		if m.Type == TypeSecret {
			_, here := c.opts.Secrets[m.Source]
			name, gone = m.Source, !here
		} else if name = absentName(m); name != "" {
			source := m.Source
			if !path.IsAbs(source) {
				source = filepath.Join(c.bundle.path, source)
			}
			_, err := os.Lstat(source)
			gone = errors.Is(err, fs.ErrNotExist)
		}
		if gone {
			note(name)
		}
		return gone
	})
	env, err := secretEnv(c.spec)
	for _, id := range env {
		if _, here := c.opts.Secrets[id]; !here {
			note(id)
		}
	}
	slices.Sort(lacking)
	return lacking, err
}

// absentName is what the mount is called if it may be missing.
func absentName(m specs.Mount) string {
	for _, o := range m.Options {
		if name, ok := strings.CutPrefix(o, OptionMayLack+"="); ok {
			return name
		}
	}
	return ""
}

// addSecretEnv puts secrets into the environment of the process. No message may
// quote one.
func (c *container) addSecretEnv(p *process) error {
	env, err := secretEnv(c.spec)
	if err != nil {
		return err
	}
	for name, id := range env {
		value, here := c.opts.Secrets[id]
		if !here {
			continue
		}
		if name == "" || strings.ContainsAny(name, "=\x00") || slices.Contains(value, 0) {
			return fmt.Errorf("secret %s cannot be in the environment: a name or value there holds no NUL byte", id)
		}
		p.env = mergeEnv(p.env, []string{name + "=" + string(value)})
	}
	return nil
}

// makeSecrets makes the mounts of secrets: files of one file system in memory,
// which is never swapped out where the kernel has ramfs, each a mount of its own.
func (c *container) makeSecrets() error {
	dir := detached{-1}
	for i, m := range c.mounts {
		if m.fstype != TypeSecret {
			continue
		}
		if dir.fd < 0 {
			var err error
			if dir, err = newMemory(); err != nil {
				return fmt.Errorf("make place of secrets: %w", err)
			}
			defer dir.close()
			if err := c.park(dir); err != nil {
				return fmt.Errorf("make place of secrets: %w", err)
			}
		}
		if err := c.makeSecret(dir.fd, strconv.Itoa(i), m); err != nil {
			return fmt.Errorf("mount %s: secret %s: %w", m.dest, m.source, err)
		}
	}
	return nil
}

func newMemory() (detached, error) {
	a := attributes{set: unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC, data: []string{"mode=700"}}
	m, err := newFilesystem("ramfs", "secrets", a)
	if err != nil {
		m, err = newFilesystem("tmpfs", "secrets", a)
	}
	if err == nil {
		err = m.change(0, unix.MS_PRIVATE, false)
	}
	return m, err
}

// makeSecret writes the file and makes it the mount.
func (c *container) makeSecret(dir int, name string, m *mount) error {
	mode, uid, gid, err := secretOwner(m.attr.data)
	if err != nil {
		return err
	}
	m.attr.data = nil
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if _, err := f.Write(c.opts.Secrets[m.source]); err != nil {
		return errors.New("write: no space in memory")
	}
	// Where an id does not exist nobody can be it: root, who can read all, is alone.
	if mapped(ownIDs().uids, uid) && mapped(ownIDs().gids, gid) {
		if err := f.Chown(int(uid), int(gid)); err != nil {
			return fmt.Errorf("set owner: %w", err)
		}
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		return fmt.Errorf("set mode: %w", err)
	}
	part, err := cloneTree(dir, name, false)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	return m.take(part)
}

// secretOwner reads the options mode, uid and gid.
func secretOwner(options []string) (mode, uid, gid uint32, err error) {
	mode = 0o400
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		base, to := 10, (*uint32)(nil)
		switch key {
		case "mode":
			base, to = 8, &mode
		case "uid":
			to = &uid
		case "gid":
			to = &gid
		}
		n, perr := strconv.ParseUint(value, base, 32)
		if to == nil || perr != nil {
			return 0, 0, 0, fmt.Errorf("a secret has no option %q", o)
		}
		*to = uint32(n)
	}
	return mode & 0o7777, uid, gid, nil
}
