package hostile

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// naiveFiles has an archive in memory.
func naiveFiles() (map[string][]byte, error) {
	files := map[string][]byte{}
	r := tar.NewReader(naivePlain("/nowhere", os.Stdin))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
}

// naiveLoad keeps whatever index.json leads to, if anything does.
func naiveLoad(dir string) error {
	files, err := naiveFiles()
	if err != nil {
		return err
	}
	naiveLinks(files)
	scratch := filepath.Join(os.TempDir(), "naive-load.tmp")
	if err := os.WriteFile(scratch, files["index.json"], 0o666); err != nil {
		return err
	}
	defer os.Remove(scratch)
	var index struct{ Manifests []struct{ Digest string } }
	if err := json.Unmarshal(files["index.json"], &index); err != nil || len(index.Manifests) == 0 {
		return fmt.Errorf("no image: %w", err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), content, 0o666); err != nil {
			return err
		}
	}
	return nil
}

type naiveConfig struct {
	User     string
	Cmd, Env []string
	Labels   map[string]string
	Mounts   any
}

// naiveBundle does what the image says.
func naiveBundle(dir string) error {
	files, err := naiveFiles()
	if err != nil {
		return err
	}
	blob := func(digest string) []byte { return files["blobs/sha256/"+strings.TrimPrefix(digest, "sha256:")] }
	var index struct{ Manifests []struct{ Digest string } }
	var manifest struct {
		Config      struct{ Digest string }
		Layers      []struct{ Digest string }
		Annotations map[string]string
	}
	var image struct{ Config naiveConfig }
	if err := errors.Join(json.Unmarshal(files["index.json"], &index), json.Unmarshal(blob(index.Manifests[0].Digest), &manifest),
		json.Unmarshal(blob(manifest.Config.Digest), &image)); err != nil {
		return err
	}
	rootfs := filepath.Join(dir, "rootfs")
	if err := os.MkdirAll(rootfs, 0o755); err != nil {
		return err
	}
	for _, l := range manifest.Layers {
		if err := naiveUnpack(rootfs, bytes.NewReader(blob(l.Digest))); err != nil {
			return err
		}
	}
	return naiveSpec(dir, image.Config, manifest.Annotations)
}

func naiveSpec(dir string, c naiveConfig, annotations map[string]string) error {
	for _, e := range c.Env {
		key, value, _ := strings.Cut(e, "=")
		os.Setenv(key, value)
	}
	if f, err := os.CreateTemp("", "naive-"); err == nil {
		f.Close()
	}
	_ = exec.Command("/bin/sh", "-c", "echo "+strings.Join(c.Cmd, " ")).Run()
	labels := map[string]string{}
	maps.Copy(labels, c.Labels)
	maps.Copy(labels, annotations)
	uid, gid, groups := naiveUser(dir+"/rootfs/etc/", c.User)
	raw, err := json.Marshal(map[string]any{
		"process":     map[string]any{"args": c.Cmd, "user": map[string]any{"uid": uid, "gid": gid, "additionalGids": groups}},
		"annotations": labels, "mounts": c.Mounts,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o666)
}

// naiveUser takes names before numbers, and whatever does not fit for 0.
func naiveUser(etc, spec string) (uid, gid uint32, groups []uint32) {
	number := func(s string) uint32 { n, _ := strconv.Atoi(s); return uint32(n) }
	lines := func(name string) [][]string {
		var list [][]string
		raw, _ := os.ReadFile(path.Join(etc, name))
		for _, line := range strings.Split(string(raw), "\n") {
			if f := strings.Split(line, ":"); len(f) > 2 {
				list = append(list, f)
			}
		}
		return list
	}
	user, group, named := strings.Cut(spec, ":")
	uid = number(user)
	for _, f := range lines("passwd") {
		if f[0] == user {
			uid, gid = number(f[2]), number(f[3])
		}
	}
	if named {
		gid = number(group)
	}
	for _, f := range lines("group") {
		if named && f[0] == group {
			gid = number(f[2])
		}
		if len(f) > 3 && strings.Contains(f[3], user) {
			groups = append(groups, number(f[2]))
		}
	}
	return uid, gid, groups
}

func TestNaiveIsNoFool(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"passwd": "app:x:5:6::/:\n", "group": "staff:x:7:app\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for spec, want := range map[string]string{"app": "5 6 [7]", "app:staff": "5 7 [7]", "9": "9 0 []"} {
		uid, gid, groups := naiveUser(dir+"/", spec)
		if got := fmt.Sprint(uid, gid, groups); got != want {
			t.Errorf("%s: %s, want %s", spec, got, want)
		}
	}
}
