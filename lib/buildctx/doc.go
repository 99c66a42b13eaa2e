// Package buildctx is a directory as COPY and ADD see it: filtered by
// .dockerignore, walked in one fixed order, hashed without reading what has
// not changed, and known by a fingerprint where nothing was even touched. The
// same Context serves a build context (with ignore rules) and the root of
// another stage (without).
//
// It is not a copier: it offers the tree, the build decides what a source
// operand means.
//
// The one invariant: nothing outside the directory is ever opened or read.
// Every file is reached from the directory's own descriptor by a path that
// holds no symbolic link (openat2 with RESOLVE_NO_SYMLINKS; elsewhere one
// O_NOFOLLOW open per name). Links are followed by [Context.Resolve] alone, in
// our own code, because an in-root resolution by the kernel would walk through
// entries that the ignore file hides. os.Root would do for neither: it refuses
// the absolute links that stage roots are full of. FIFOs, sockets and devices
// are never opened, so a context cannot make a build hang.
//
//	c, err := buildctx.Open(dir, buildctx.Options{Ignore: rules, Index: index})
//	for info, err := range c.Walk("src", buildctx.WalkOptions{}) { ... }
//	sums, err := c.HashAll(ctx, infos)
package buildctx
