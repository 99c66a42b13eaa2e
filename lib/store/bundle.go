package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/runtime-spec/specs-go"

	"docksmith/lib/layer"
	"docksmith/lib/oci"
	"docksmith/lib/rootfs"
)

// NewContainer makes a directory with a random name in containers/, for a bundle.
func (s *Store) NewContainer() (string, error) {
	for {
		var id [6]byte
		if _, err := rand.Read(id[:]); err != nil {
			return "", err
		}
		dir := s.path(dirContainers, hex.EncodeToString(id[:]))
		err := os.Mkdir(dir, 0o700)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("make container: %w", err)
		}
		return dir, nil
	}
}

// WriteBundle makes dir, which is new or empty, an OCI runtime bundle of img
// whose root is an overlay: snapshots below, dir/upper for what the container
// writes. The bundle keeps its snapshots from collections for as long as its
// config.json is there.
func (s *Store) WriteBundle(ctx context.Context, img *Image, dir string, o oci.RuntimeOptions) error {
	dir, err := emptyDir(dir)
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	lowers, err := s.Snapshots(ctx, img.Layers)
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	if err := makeUpper(dir, lowers); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	spec := oci.RuntimeSpec(img.Config, o)
	nameImage(spec, img)
	spec.Annotations[oci.AnnotationOverlayLower] = JoinLowers(lowers)
	spec.Annotations[oci.AnnotationOverlayUpper] = "upper"
	spec.Annotations[oci.AnnotationOverlayWork] = "work"
	// With the lock no collection falls between the config and its registration.
	if err := s.shared.lock(ctx); err != nil {
		return err
	}
	defer s.shared.unlock()
	if err := writeConfig(dir, spec); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return s.registerBundle(dir)
}

// emptyDir makes dir unless it is there and empty, and returns its absolute path.
func emptyDir(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	if len(names) > 0 {
		return "", fmt.Errorf("%s: is not empty", dir)
	}
	return dir, nil
}

// makeUpper makes the writable layer. The root directory of an overlay has the
// mode and owner of the upper one, so they are taken over from the image.
func makeUpper(dir string, lowers []string) error {
	for _, name := range []string{"upper", "work"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	if len(lowers) == 0 {
		return nil
	}
	st, err := os.Stat(lowers[0])
	if err != nil {
		return err
	}
	upper := filepath.Join(dir, "upper")
	if uid, gid, ok := owner(st); ok {
		if err := os.Lchown(upper, uid, gid); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return os.Chmod(upper, st.Mode()) // after the owner: that clears bits
}

func nameImage(spec *specs.Spec, img *Image) {
	name := img.Descriptor.Digest.String()
	if img.Name != "" {
		name = img.Name + "@" + name
	}
	spec.Annotations[oci.AnnotationImage] = name
	if volumes := img.Config.Config.Volumes; len(volumes) > 0 {
		list, _ := json.Marshal(slices.Sorted(maps.Keys(volumes))) // strings always have a form
		spec.Annotations[oci.AnnotationVolumes] = string(list)
	}
}

func writeConfig(dir string, spec *specs.Spec) error {
	raw, err := oci.Marshal(spec)
	if err != nil {
		return err
	}
	temp := filepath.Join(dir, ".config.json")
	if err := os.WriteFile(temp, append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(dir, "config.json"))
}

// registerBundle keeps the snapshots that the bundle dir stands on from
// collections while its config.json is there. Those in containers/ need not be.
func (s *Store) registerBundle(dir string) error {
	if filepath.Dir(dir) == s.path(dirContainers) {
		return nil
	}
	link := s.path(dirBundles, digest.FromString(dir).Encoded()[:32])
	if err := os.Symlink(dir, link); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("register bundle: %w", err)
	}
	return nil
}

// UnpackBundle makes dir, which is new or empty, an OCI runtime bundle of img
// with the whole file system in dir/rootfs, for any runtime: nothing in it refers
// to the store.
func (s *Store) UnpackBundle(ctx context.Context, img *Image, dir string, o oci.RuntimeOptions, warn func(string)) error {
	dir, err := emptyDir(dir)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	root := filepath.Join(dir, "rootfs")
	if err := os.Mkdir(root, 0o755); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	for _, l := range img.Layers {
		if err := s.ApplyLayer(ctx, l, root, layer.ApplyOptions{Warn: warn}); err != nil {
			return fmt.Errorf("unpack layer %s: %w", l.Digest, err)
		}
	}
	spec := oci.RuntimeSpec(img.Config, o)
	nameImage(spec, img)
	if err := resolveUser(spec, root); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	if err := writeConfig(dir, spec); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	return nil
}

// resolveUser does what a runtime of ours does with AnnotationUser: other
// runtimes want numbers.
func resolveUser(spec *specs.Spec, dir string) error {
	root, err := rootfs.Open(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	name := spec.Annotations[oci.AnnotationUser]
	delete(spec.Annotations, oci.AnnotationUser)
	if name == "" {
		name = fmt.Sprintf("%d:%d", spec.Process.User.UID, spec.Process.User.GID)
	}
	u, err := root.LookupUser(name)
	if err != nil {
		return fmt.Errorf("user %q: %w", name, err)
	}
	spec.Process.User = specs.User{UID: u.UID, GID: u.GID, AdditionalGids: u.Groups}
	hasHome := slices.ContainsFunc(spec.Process.Env, func(kv string) bool { return strings.HasPrefix(kv, "HOME=") })
	if !hasHome && u.Home != "" {
		spec.Process.Env = append(spec.Process.Env, "HOME="+u.Home)
	}
	return nil
}

// JoinLowers writes lower directories, top first, the way overlayfs and a
// bundle's annotation have them: separated by ":", which is escaped in names.
func JoinLowers(dirs []string) string {
	out := make([]string, len(dirs))
	for i, d := range dirs {
		out[i] = strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(d)
	}
	return strings.Join(out, ":")
}

// SplitLowers is the inverse of JoinLowers.
func SplitLowers(s string) []string {
	if s == "" {
		return nil
	}
	dirs := []string{""}
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			dirs[len(dirs)-1] += s[i : i+1]
		case s[i] == ':':
			dirs = append(dirs, "")
		default:
			dirs[len(dirs)-1] += s[i : i+1]
		}
	}
	return dirs
}
