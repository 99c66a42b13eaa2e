// Package cache remembers what build steps gave: under the hash of everything
// that a step's result depends on, the layer it made. It also remembers what
// was hashed, so that a later build can say what changed.
//
// It holds no layers and never decides whether a layer is still there: the
// build checks that with the store, [Cache.Prune] is told by a function.
//
// The one invariant: a key stands for exactly one pre-image. The key is the
// BLAKE3 hash of an encoding in which every field carries its length, and the
// stored pre-image is that encoding, checked against the key when it is read.
//
//	c, err := cache.Open(dir)
//	s := c.Begin("app:v1")
//	if r, ok, err := c.Lookup(pre.Key()); ok { s.Hit(step, pre, r) } else {
//		s.Miss(step, pre, "new")
//		// ... run the step ...
//		err = c.Put(pre, cache.Record{Layer: layer, Seconds: took})
//	}
//	err = s.Close()
//
// Files, all of mode 0600 and, but for the counters, made by rename:
//
//	records/ab/HEX.json     one record: what the step gave
//	preimages/ab/HEX[.zst]  what the key stands for
//	prefixes/ab/HEX         empty: some record has this pre-image but for its files
//	aliases/ab/HEX          another name of a record
//	history/HEX.json        per image name: the last keys of each step
//	history/HEX.counts.json its counters
//	stats.json              counters of all builds
package cache
