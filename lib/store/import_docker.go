package store

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"docksmith/lib/oci"
)

// dockerEntry is one image of docker's manifest.json.
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// dockerImages reads the images of "docker save" output, of all versions since
// 1.10: config and layers lie where manifest.json says, whatever that is named.
func (in *incoming) dockerImages(ctx context.Context, raw []byte, o ImportOptions) ([]candidate, error) {
	var entries []dockerEntry
	if err := json.Unmarshal(raw, &entries); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	var found []candidate
	for _, e := range entries {
		c, err := in.dockerImage(ctx, e, o)
		if err != nil {
			return nil, err
		}
		tags := e.RepoTags
		if o.Name != nil || len(tags) == 0 {
			tags = []string{""}
		}
		for _, t := range tags {
			c := c
			if t != "" {
				r, err := oci.ParseRef(t)
				if err != nil {
					return nil, fmt.Errorf("manifest.json: %w", err)
				}
				c.name = nameOf(r)
			}
			found = append(found, c)
		}
	}
	return found, nil
}

func (in *incoming) dockerImage(ctx context.Context, e dockerEntry, o ImportOptions) (candidate, error) {
	var c candidate
	var err error
	if c.config, err = in.listed(ctx, e.Config); err != nil {
		return c, fmt.Errorf("config: %w", err)
	}
	// The file name is the image's ID, in both forms docker gave it.
	if hex := strings.TrimSuffix(path.Base(e.Config), ".json"); isHex(hex) && hex != c.config.digest.Encoded() {
		return c, fmt.Errorf("config %s: %w: it is %s", hex, ErrCorrupt, c.config.digest)
	}
	cfg, err := c.readConfig(o)
	if err != nil {
		return c, err
	}
	if len(e.Layers) != len(cfg.RootFS.DiffIDs) {
		return c, fmt.Errorf("manifest.json: %d layers and %d diff IDs", len(e.Layers), len(cfg.RootFS.DiffIDs))
	}
	if err := matchHistory(cfg, len(e.Layers)); err != nil {
		return c, fmt.Errorf("config: %w", err)
	}
	for _, name := range e.Layers {
		f, err := in.listed(ctx, name)
		if err != nil {
			return c, fmt.Errorf("layer: %w", err)
		}
		c.layers = append(c.layers, f)
	}
	return c, c.proveLayers(cfg)
}

// listed finds a file that manifest.json names.
func (in *incoming) listed(ctx context.Context, name string) (*spooled, error) {
	f, err := in.get(ctx, path.Clean(name))
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, fmt.Errorf("%q: %w", name, oci.ErrNotFound)
	}
	return f, nil
}
