// Package layer turns directory trees into OCI layer tars and back: Create,
// Diff, PackUpper and Pack write them; Apply, Flatten and Cat read them.
//
// It knows tar, whiteouts, extended attributes, sparse files, owners and
// compression. It does not know images, digests of blobs or where things are stored.
//
// The one invariant: the bytes of a layer depend on the tree and the options
// alone. Not on the order of directories, the clock, the time zone, the umask,
// the user, the number of cores or how a file system stores holes.
//
//	err := layer.Create(ctx, w, "rootfs", layer.CreateOptions{})
//	err = layer.Diff(ctx, w, "lower", "upper", layer.CreateOptions{})
//	err = layer.Apply(ctx, r, "dir", layer.ApplyOptions{})
//
// # Order
//
// Entries appear in the order of a walk that sorts every directory by the bytes
// of its names: "a", "a/z", "a.b". That is the order of ComparePaths, a total
// order in which a directory is directly followed by everything below it. The
// whiteouts of a directory come before its other children.
//
// # Sparse files
//
// A tar holds a file's content plain, zeros included: where a file system keeps
// holes differs from one to the next, so a tar that listed them would not be
// the same everywhere, and not every reader of layers understands such lists.
// Zeros cost a compressor next to nothing. Apply and Pack leave holes for runs of zeros.
//
// # Extended attributes
//
// All are kept as SCHILY.xattr records, as GNU tar --xattrs and the container
// engines do, security.capability and the POSIX ACLs among them, except those
// that describe the file system underneath and not the file:
// trusted.overlay.*, user.overlay.*, security.selinux, security.ima,
// security.evm, and user.docksmith.owner, which is interpreted (see OwnerXattr).
package layer
