package store

import (
	"fmt"

	"github.com/opencontainers/go-digest"
)

// oneOfEachName refuses two images of one name: which one it stands for would
// depend on who reads the archive.
func oneOfEachName(found []candidate) error {
	given := map[string]digest.Digest{}
	for _, c := range found {
		if c.name == "" {
			continue
		}
		if other, ok := given[c.name]; ok && other != c.identity() {
			return fmt.Errorf("two images are called %s: %s and %s", c.name, other, c.identity())
		}
		given[c.name] = c.identity()
	}
	return nil
}

// identity is the digest by which the archive knows the image: that of the
// manifest or, in docker's format, of the config.
func (c *candidate) identity() digest.Digest {
	switch {
	case c.desc.Digest != "":
		return c.desc.Digest
	case c.index != nil:
		return digest.FromBytes(c.index)
	}
	return c.config.digest
}
