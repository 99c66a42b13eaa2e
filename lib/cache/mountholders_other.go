//go:build !linux

package cache

// Holders are not known here.
func (d MountDir) Holders() []Holder { return nil }

func exchange(a, b string) error { return swap(a, b) }
