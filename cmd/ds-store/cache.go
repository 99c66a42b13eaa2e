package main

import (
	"fmt"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/cache"
	"docksmith/lib/store"
)

// cacheLayers lists the blobs that cache records speak of: a collection keeps
// them unless told otherwise. Their snapshots go, they can be unpacked again.
func cacheLayers(s *store.Store) ([]digest.Digest, error) {
	c, err := cache.Open(filepath.Join(s.Root(), "cache"))
	if err != nil {
		return nil, fmt.Errorf("read cache: %w", err)
	}
	layers, err := c.LayerRefs()
	if err != nil {
		return nil, fmt.Errorf("read cache: %w", err)
	}
	return layers, nil
}
