package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"docksmith/lib/dockerfile"
)

// Tree puts the files of a commit into dir, which is empty, submodules included
// unless the address says otherwise: directories and executable files with mode
// 0755, others with 0644, links as they are. Subdir is the caller's to find in
// it; submodules that it has no use for are left out.
//
// With Options.KeepGitDir, and without a Subdir, dir/.git is a repository of that
// one commit.
func (k *Kept) Tree(ctx context.Context, remote *dockerfile.Remote, dir string, o Options) (*Commit, error) {
	m := &modules{k: k, o: o, left: o.limit()}
	c, err := m.checkout(ctx, remote, dir, remote.Subdir, 0)
	if err == nil {
		err = settleModes(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", shown(remote), err)
	}
	return c, nil
}

// entry is one line of git ls-tree -r.
type entry struct {
	mode, object, path string
	size               int64
}

const (
	modeModule = "160000"
	modeFile   = "100644"
)

// entries lists the files of a commit.
func (r *repository) entries(ctx context.Context, commit string) ([]entry, error) {
	out, err := r.git(ctx, "ls-tree", "-r", "-l", "-z", "--full-tree", commit)
	if err != nil {
		return nil, err
	}
	var list []entry
	for line := range bytes.SplitSeq(bytes.TrimSuffix(out, []byte{0}), []byte{0}) {
		if len(line) == 0 {
			continue
		}
		head, path, _ := strings.Cut(string(line), "\t")
		fields := strings.Fields(head)
		if len(fields) != 4 || path == "" {
			return nil, fmt.Errorf("git ls-tree: unexpected line %q", line)
		}
		size, _ := strconv.ParseInt(fields[3], 10, 64) // "-" of a module
		list = append(list, entry{fields[0], fields[2], path, size})
	}
	return list, nil
}

// writeTree writes the files of a commit below dir, as git does at a checkout:
// with its own checks of their names, and with nothing of the repository obeyed
// but line ends and encodings in .gitattributes. The mirror knows nothing of it.
func (r *repository) writeTree(ctx context.Context, commit, dir string) error {
	temp, err := os.MkdirTemp(filepath.Dir(r.dir), "checkout-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	env := []string{"GIT_INDEX_FILE=" + filepath.Join(temp, "index"), "GIT_WORK_TREE=" + dir}
	_, err = r.run(ctx, nil, env, "-c", "core.bare=false", "-c", "core.worktree="+dir, "read-tree", "--reset", "-u", commit)
	return err
}

// settleModes makes modes independent of the umask.
func settleModes(dir string) error {
	return filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o644)
		switch {
		case e.IsDir() || info.Mode()&0o100 != 0:
			want = 0o755
		case !e.Type().IsRegular():
			return fmt.Errorf("%s: neither a file nor a directory nor a link", e.Name())
		}
		if info.Mode().Perm() == want {
			return nil
		}
		return os.Chmod(name, want)
	})
}

// writeGitDir makes a repository of one commit in dir/.git. Its bytes depend on
// the commit, the ref and the address, and, as git compresses the objects, on
// the version of git: there are no times and inodes in the index, no samples of
// hooks, no logs.
func (r *repository) writeGitDir(ctx context.Context, c *Commit, dir string) error {
	at := filepath.Join(dir, ".git")
	for _, d := range []string{"objects/pack", "objects/info", "refs/heads", "refs/tags"} {
		if err := os.MkdirAll(filepath.Join(at, d), 0o755); err != nil {
			return err
		}
	}
	objects, err := r.git(ctx, "rev-list", "--objects", "--no-walk", c.ID)
	if err != nil {
		return err
	}
	_, err = r.run(ctx, bytes.NewReader(objects), nil, "pack-objects", "--quiet", "--threads=1", "--no-reuse-delta", "--no-reuse-object",
		"--window=10", "--depth=50", filepath.Join(at, "objects/pack/pack"))
	if err != nil {
		return err
	}
	// Without -u the index has names and objects only: what depends on this
	// machine is zero until git looks again.
	if _, err := r.run(ctx, nil, []string{"GIT_INDEX_FILE=" + filepath.Join(at, "index")}, "read-tree", c.ID); err != nil {
		return err
	}
	raw, err := r.git(ctx, "cat-file", "commit", c.ID)
	if err != nil {
		return err
	}
	files := map[string]string{
		"HEAD": c.ID + "\n",
		"config": "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n[remote \"origin\"]\n\turl = " +
			configValue(r.remote.Redacted()) + "\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n",
	}
	if header, _, _ := bytes.Cut(raw, []byte("\n\n")); bytes.Contains(header, []byte("\nparent ")) {
		files["shallow"] = c.ID + "\n"
	}
	if strings.HasPrefix(c.Ref, "refs/heads/") || strings.HasPrefix(c.Ref, "refs/tags/") {
		files[c.Ref] = c.ID + "\n"
	}
	for name, text := range files {
		name = filepath.Join(at, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// configValue quotes a value of a git configuration.
func configValue(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
