package layer

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// CreateOptions say what Create, Diff and PackUpper make of what they find.
type CreateOptions struct {
	// Epoch is the time of every entry. Default 1970-01-01T00:00:00Z.
	Epoch time.Time
	// KeepTimes keeps each entry's own modification time, in whole seconds. In Diff
	// and PackUpper a different time is then a difference.
	KeepTimes bool
	// Owner replaces the owner of every entry. Default: as found.
	Owner *[2]uint32
	// Normalize makes directories and executables 0755, other files 0644, all of
	// them root's unless Owner says otherwise, without capabilities and ACLs.
	Normalize bool
	// Root makes Create begin with an entry "./" for dir itself. Default: none, since
	// the mode of a working directory is seldom meant for the root of an image.
	Root bool

	// Lowers are the directories below PackUpper's upper, top first, in overlay
	// form. With them (not nil) the layer says what differs: whatever overlayfs
	// copied up and nobody changed is left out, and an opaque directory
	// becomes whiteouts for what it hides, so that the bytes are those of a Diff.
	// nil: unknown; everything in upper is written, and opaque stays opaque.
	Lowers []string
	// SetTimes makes PackUpper give upper itself the times that it writes (and
	// what it leaves out the times of the lower file), and remove sockets: a snapshot
	// then looks the same live as unpacked from its tar.
	SetTimes bool

	// Warn is told of what cannot be in a layer. Default: silence.
	Warn func(string)
}

// Create writes the tree at dir as a layer.
func Create(ctx context.Context, w io.Writer, dir string, o CreateOptions) error {
	d := newDiffer(ctx, w, o)
	if err := d.run(dir, nil); err != nil {
		return fmt.Errorf("create layer of %s: %w", dir, err)
	}
	return nil
}

// Diff writes the layer that turns the tree at lower into the tree at upper.
// Directories above a change are written too, the root only if it differs.
func Diff(ctx context.Context, w io.Writer, lower, upper string, o CreateOptions) error {
	d := newDiffer(ctx, w, o)
	d.compare, d.hideLower = true, true
	d.o.Root = false
	if err := d.run(upper, []string{lower}); err != nil {
		return fmt.Errorf("compare %s with %s: %w", upper, lower, err)
	}
	return nil
}

// PackUpper writes an overlay upper directory as a layer: its whiteouts
// (character device 0:0, or the extended attribute) and opaque directories in OCI form.
// The root itself is only written if it differs from that of o.Lowers.
func PackUpper(ctx context.Context, w io.Writer, upper string, o CreateOptions) error {
	d := newDiffer(ctx, w, o)
	d.upperMarks, d.lowerMarks = true, true
	d.overlay = overlayPrefix()
	d.compare, d.settle = o.Lowers != nil, o.SetTimes
	d.o.Root = false
	if err := d.run(upper, o.Lowers); err != nil {
		return fmt.Errorf("pack overlay directory %s: %w", upper, err)
	}
	return nil
}

// overlayPrefix begins the names of the attributes by which overlayfs, as this
// user mounts it, marks files.
func overlayPrefix() string { return strings.TrimSuffix(OpaqueXattr(), "opaque") }
