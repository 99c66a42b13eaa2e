package verify

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/buildlog"
	"docksmith/lib/cache"
	"docksmith/lib/compare"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// RebuildOptions say how Rebuild builds.
type RebuildOptions struct {
	// Builder is the program ds-build.
	Builder string
	// Context is the directory of the context. Default: where it was.
	Context string
	// Secrets and Agents are what no log has, as ds-build takes them by --secret and
	// --ssh. Relative names of files count from the current directory.
	Secrets, Agents []string
	// Log takes what the builder says. Default: nobody.
	Log   io.Writer
	Found Found
}

// inputs are a build's record of that type.
type inputs struct {
	Type      string            `json:"type"`
	Directory string            `json:"directory"`
	Plan      json.RawMessage   `json:"plan"`
	Args      map[string]string `json:"args"`
	Labels    map[string]string `json:"labels"`
	Contexts  map[string]string `json:"contexts"`
	Hosts     []string          `json:"hosts"`
	Allow     []string          `json:"allow"`
	Target    string            `json:"target"`
	Platform  string            `json:"platform"`
	Compress  string            `json:"compress"`
	Network   string            `json:"network"`
	Bases     map[string]string `json:"bases"`

	build *buildlog.Build
}

// Rebuild proves that an image can be built again: from the plan, the options and
// the bases that the log of its build has, without a cache, in a temporary store.
// Each difference is a finding, and so is each step whose inputs are others now.
// An image of which no log tells cannot be told.
func Rebuild(ctx context.Context, s *store.Store, ref string, o RebuildOptions) (sum Summary, err error) {
	sum.Subject = ref
	img, err := s.Image(ref, nil)
	if err != nil {
		return sum, err
	}
	sum.Digest = img.Descriptor.Digest
	in, err := recorded(s, img.Descriptor.Digest)
	if err != nil {
		return sum, fmt.Errorf("rebuild %s: %w", ref, err)
	}
	temp, err := s.TempDir("rebuild")
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, temp.Close()) }()
	other, err := store.Open(filepath.Join(temp.Path, "store"))
	if err != nil {
		return sum, err
	}
	defer other.Close()
	for name, d := range in.Bases {
		if err := borrow(ctx, other, s, name, d); err != nil {
			return sum, fmt.Errorf("rebuild %s: base %s: %w", ref, name, err)
		}
	}
	again, err := in.run(ctx, other.Root(), o)
	if err != nil {
		return sum, fmt.Errorf("rebuild %s: %w", ref, err)
	}
	if again == img.Descriptor.Digest {
		return sum, nil
	}
	return sum, sum.differences(ctx, s, img, other, again, in, o.Found)
}

// recorded finds the inputs of the last build that gave the image.
func recorded(s *store.Store, d digest.Digest) (*inputs, error) {
	builds, err := buildlog.New(s.Root()).List()
	if err != nil {
		return nil, err
	}
	for _, b := range builds {
		if b.Digest != d.String() {
			continue
		}
		in, err := readInputs(b)
		if in != nil || err != nil {
			return in, err
		}
	}
	return nil, errors.New("no log of a build tells what it was made from")
}

func readInputs(b *buildlog.Build) (*inputs, error) {
	f, err := b.Record()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		in := &inputs{build: b}
		if json.Unmarshal(line, in) == nil && in.Type == "inputs" {
			return in, nil
		}
	}
}

// borrow makes an image of one store known in another by links to its blobs.
func borrow(ctx context.Context, to, from *store.Store, name, d string) error {
	ref, err := oci.ParseRef(name)
	if err != nil {
		return err
	}
	img, err := from.Image(d, nil)
	if err != nil {
		return err
	}
	for _, b := range img.Blobs() {
		if err := os.Link(from.BlobPath(b), to.BlobPath(b)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	ref.Digest = ""
	if ref.Tag == "" {
		ref.Tag = oci.DefaultTag
	}
	return to.Tag(ctx, img.Descriptor, ref)
}

// run builds, and returns the digest of what it gave.
func (in *inputs) run(ctx context.Context, root string, o RebuildOptions) (digest.Digest, error) {
	where := o.Context
	if where == "" {
		where = in.build.Context
	}
	if where == "-" {
		return "", errors.New("the context came from standard input: give --context")
	}
	where, err := filepath.Abs(where)
	if err != nil {
		return "", err
	}
	id := filepath.Join(filepath.Dir(root), "digest")
	args := append(in.arguments(id), o.given()...)
	cmd := exec.CommandContext(ctx, o.Builder, append(args, "--", where)...)
	if st, err := os.Stat(in.Directory); err == nil && st.IsDir() && o.Context == "" {
		cmd.Dir = in.Directory
	}
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == "SOURCE_DATE_EPOCH" || strings.HasPrefix(name, "DOCKSMITH_") && name != "DOCKSMITH_EXEC_PATH"
	})
	cmd.Env = append(cmd.Env, "DOCKSMITH_ROOT="+root)
	cmd.Stdin = strings.NewReader(string(in.Plan) + "\n")
	said := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = o.Log, io.Writer(said)
	if o.Log != nil {
		cmd.Stderr = io.MultiWriter(said, o.Log)
	}
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build again: %w: %s", err, complaint(said.String()))
	}
	raw, err := os.ReadFile(id)
	if err != nil {
		return "", err
	}
	d := digest.Digest(strings.TrimSpace(string(raw)))
	return d, oci.ValidDigest(d)
}

// complaint is the last error that a program said; hints follow it.
func complaint(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	for _, l := range slices.Backward(lines) {
		if strings.Contains(l, "error: ") {
			return l
		}
	}
	return lines[len(lines)-1]
}

// given are the arguments that no log has. The builder may run elsewhere, so each
// file is named from the root.
func (o RebuildOptions) given() (args []string) {
	absolute := func(name string) string {
		if abs, err := filepath.Abs(name); err == nil {
			return abs
		}
		return name
	}
	for _, s := range o.Secrets {
		members := strings.Split(s, ",")
		for i, m := range members {
			key, file, _ := strings.Cut(m, "=")
			if (key == "src" || key == "source") && file != "" && !slices.Contains(members, "type=env") {
				members[i] = key + "=" + absolute(file)
			}
		}
		args = append(args, "--secret", strings.Join(members, ","))
	}
	for _, a := range o.Agents {
		if id, socket, ok := strings.Cut(a, "="); ok {
			a = id + "=" + absolute(socket)
		}
		args = append(args, "--ssh", a)
	}
	return args
}

// arguments are those of ds-build.
func (in *inputs) arguments(iidfile string) []string {
	args := []string{"--no-cache", "--progress=plain", "--color=never", "--iidfile", iidfile}
	for _, t := range in.build.Tags {
		args = append(args, "-t", t)
	}
	pairs := func(flag string, m map[string]string) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			args = append(args, flag, k+"="+m[k])
		}
	}
	pairs("--build-arg", in.Args)
	pairs("--label", in.Labels)
	pairs("--build-context", in.Contexts)
	for _, h := range in.Hosts {
		args = append(args, "--add-host", h)
	}
	for _, a := range in.Allow {
		args = append(args, "--allow", a)
	}
	for flag, value := range map[string]string{"--target": in.Target, "--platform": in.Platform, "--compress": in.Compress, "--network": in.Network} {
		if value != "" {
			args = append(args, flag, value)
		}
	}
	return args
}

// differences finds causes and effects.
func (sum *Summary) differences(ctx context.Context, s *store.Store, img *store.Image, other *store.Store, again digest.Digest, in *inputs, found Found) error {
	second, err := other.Image(again.String(), nil)
	if err != nil {
		return err
	}
	for _, f := range causes(s, other, in) {
		sum.note(found, f)
	}
	a, b := compare.Stored(s, img), compare.Stored(other, second)
	o := compare.Options{}
	paired := len(a.Layers) == len(b.Layers) // each layer is then compared with its own
	if paired {
		o.Only = []compare.Kind{compare.Manifest, compare.Config, compare.History}
	}
	for d, err := range compare.Images(ctx, a, b, o) {
		if err != nil {
			return err
		}
		sum.note(found, describe(d, ""))
	}
	history := img.Config.LayerHistory()
	for i := 0; paired && i < len(a.Layers); i++ {
		if a.Layers[i].Digest == b.Layers[i].Digest {
			continue
		}
		name := fmt.Sprintf("layer %d", i+1)
		if i < len(history) && history[i].CreatedBy != "" {
			name += fmt.Sprintf(" (%.60q)", history[i].CreatedBy)
		}
		for d, err := range compare.Layers(ctx, a.Layers[i], b.Layers[i]) {
			if err != nil {
				return err
			}
			sum.note(found, describe(d, name))
		}
	}
	return nil
}

// describe says of what class a difference is. layer is the one that it is in, if
// that is known.
func describe(d compare.Difference, layer string) Finding {
	f := Finding{Area: string(d.Kind), Name: d.Key, Problem: string(d.Change)}
	switch {
	case d.Path != "":
		f.Area, f.Name = "file", "/"+strings.TrimPrefix(d.Path, ".")
		if layer != "" {
			f.Name += " of " + layer
		}
	case layer != "":
		f.Name = strings.TrimPrefix(layer, "layer ")
	case d.Index > 0:
		f.Name = fmt.Sprint(d.Index)
	}
	for i, w := range d.What {
		if i == 0 {
			f.Problem = "differs in " + string(w)
		} else {
			f.Problem += ", " + string(w)
		}
	}
	return f
}

// causes compares the keys of the steps: one that differs has other inputs, and
// those of a step that only gives something else are the same.
func causes(s, other *store.Store, in *inputs) []Finding {
	if len(in.build.Tags) == 0 {
		return nil
	}
	var runs [2]map[string]cache.StepHistory
	for i, root := range []string{s.Root(), other.Root()} {
		c, err := cache.Open(filepath.Join(root, "cache"))
		if err != nil {
			return nil
		}
		h, err := c.History(in.build.Tags[0])
		if err != nil {
			return nil
		}
		runs[i] = map[string]cache.StepHistory{}
		for _, step := range h.Steps[:h.Last] {
			runs[i][step.Step] = step
		}
	}
	var list []Finding
	for id, now := range runs[1] {
		was, ok := runs[0][id]
		if !ok || len(was.Runs) == 0 || len(now.Runs) == 0 || was.Runs[0].Key == now.Runs[0].Key {
			continue
		}
		var what []string
		for name, sum := range now.Runs[0].Components {
			if old := was.Runs[0].Components[name]; old != "" && old != sum {
				what = append(what, name)
			}
		}
		if slices.Sort(what); len(what) == 0 || len(what) == 1 && what[0] == "previous layer" {
			continue // that follows from another step
		}
		list = append(list, Finding{Area: "input", Name: fmt.Sprintf("step %d (%s)", now.Number, now.Text), Problem: "differs in " + strings.Join(what, ", ")})
	}
	slices.SortFunc(list, func(a, b Finding) int { return strings.Compare(a.Name, b.Name) })
	return list
}
