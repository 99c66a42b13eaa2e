package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// dockerEntry is an image in a manifest.json.
type dockerEntry struct {
	Config       string
	RepoTags     []string
	Layers       []string
	Parent       string                    `json:",omitempty"`
	LayerSources map[string]oci.Descriptor `json:",omitempty"`
}

// docker proves the images that manifest.json lists. Its layers are named by
// files, so that a diff ID alone proves them; where index.json names the same
// images, both must agree.
func (p *pathProof) docker(raw, index []byte) error {
	var list []dockerEntry
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil || d.More() {
		p.note("archive", "manifest.json", "cannot be read: %v", err)
		return nil
	}
	if problem := store.ArchiveProblem(index, raw); problem != "" {
		p.note("archive", "manifest.json", "%s", problem)
	}
	for _, e := range list {
		err := p.dockerImage(e)
		if err == nil {
			continue
		}
		if err = p.sum.judge(p.ctx, p.o.Found, "image", e.Config, err); err != nil {
			return err
		}
	}
	return nil
}

func (p *pathProof) dockerImage(e dockerEntry) error {
	raw, err := p.document(e.Config)
	if raw == nil && err == nil {
		err = fs.ErrNotExist
	}
	if err != nil {
		return err
	}
	got := digest.FromBytes(raw)
	if name := strings.TrimSuffix(e.Config[strings.LastIndexByte(e.Config, '/')+1:], ".json"); name != got.Encoded() {
		return fmt.Errorf("the config %w: it is %s", store.ErrCorrupt, got)
	}
	cfg, err := oci.DecodeImage(raw)
	if err != nil {
		return err
	}
	for _, tag := range e.RepoTags {
		if _, err := oci.ParseRef(tag); err != nil {
			return err
		}
	}
	if len(e.Layers) != len(cfg.RootFS.DiffIDs) {
		return fmt.Errorf("%d layers and %d diff IDs", len(e.Layers), len(cfg.RootFS.DiffIDs))
	}
	if images, seen := p.configs[got]; seen {
		if !slices.ContainsFunc(images, func(l []oci.Layer) bool { return sameLayers(e, l) }) {
			return errors.New("its layers are others than in index.json")
		}
		return nil
	}
	for _, problem := range configProblems(cfg) {
		p.note("config", e.Config, "%s", problem)
	}
	p.sum.Blobs++
	p.sum.Bytes += int64(len(raw))
	m := newMachine(cfg)
	for i, name := range e.Layers {
		if err := p.dockerLayer(name, cfg.RootFS.DiffIDs[i], m); err != nil {
			return err
		}
	}
	if problem := m.problem(); problem != "" {
		p.note("config", e.Config, "%s", problem)
	}
	return nil
}

// sameLayers compares with an image of the layout, whose layers were read.
func sameLayers(e dockerEntry, layers []oci.Layer) bool {
	return slices.EqualFunc(e.Layers, layers, func(name string, l oci.Layer) bool { return name == blobName(l.Descriptor) })
}

// dockerLayer proves one layer by its diff ID.
func (p *pathProof) dockerLayer(name string, diffID digest.Digest, m *machine) error {
	r, size, err := p.files.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		p.note("layer", name, "is missing")
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	p.known[name] = true
	w := newWalk(name, p.o.Found)
	w.machine = m
	err = w.read(p.ctx, r)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	p.sum.Blobs++
	p.sum.Entries += w.entries
	p.sum.Bytes += size
	p.sum.Findings += w.findings
	if err != nil {
		return p.sum.judge(p.ctx, p.o.Found, "layer", name, err)
	}
	if got := w.diffID(); got != diffID {
		p.note("layer", name, "its content is %s, the config says %s", got, diffID)
	}
	return nil
}
