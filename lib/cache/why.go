package cache

import (
	"maps"
	"slices"
)

// Changes tells in what the latest run of a step differs from the one before;
// nil if there was none before, or nothing is known of it.
func (c *Cache) Changes(s *StepHistory) []Change {
	if len(s.Runs) < 2 {
		return nil
	}
	if p, err := c.Preimage(s.Runs[0].Key); err == nil {
		changes, _ := c.compare(&s.Runs[1], p, true)
		return changes
	}
	return diffDigests(s.Runs[1].Components, s.Runs[0].Components)
}

// compare tells in what p differs from an earlier run, by the digests of
// components if that is all that is left of it.
func (c *Cache) compare(old *Run, p *Preimage, complete bool) (changes []Change, ran bool) {
	was, err := c.Preimage(old.Key)
	switch {
	case err == nil && complete:
		return Diff(was, p), true
	case err == nil:
		return diffHead(was, p), true
	case old.Components == nil || !complete:
		return nil, false
	default:
		return diffDigests(old.Components, p.digests()), true
	}
}

// digests are the beginnings of the components' digests by name: what a history
// keeps of a pre-image.
func (p *Preimage) digests() map[string]string {
	m := map[string]string{}
	for i := range p.Components {
		c := &p.Components[i]
		m[c.Name] = c.Digest()[len(keyPrefix):][:componentDigits]
	}
	return m
}

// diffDigests is Diff where only digests are left.
func diffDigests(old, new map[string]string) []Change {
	var list []Change
	for _, name := range slices.Sorted(maps.Keys(new)) {
		switch was, ok := old[name]; {
		case !ok:
			list = append(list, Change{Component: name, What: added})
		case was != new[name]:
			list = append(list, Change{Component: name, What: changed})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if _, ok := new[name]; !ok {
			list = append(list, Change{Component: name, What: removed})
		}
	}
	return list
}
