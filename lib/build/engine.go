package build

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/runtime-spec/specs-go"

	"docksmith/lib/cache"
	"docksmith/lib/oci"
)

// What the engine wants from others. Stages run at the same time, so all of it
// must be safe for concurrent use, but for a single LayerWriter or Temp. After
// the end of a context an error should be that of the context: any other is
// taken for what went wrong first.

// Store keeps images, layers and unpacked layers.
type Store interface {
	Images
	Layers
	Snapshots
}

// Images finds base images and keeps the result.
type Images interface {
	// Image finds a local image for a platform, nil meaning whatever it is
	// for; its error is oci.ErrNotFound without one.
	Image(ref string, p *oci.Platform) (*Base, error)
	// WriteImage stores the documents of an image over stored layers.
	// Writing what is there already does nothing.
	WriteImage(ctx context.Context, img oci.Image, layers []oci.Layer, annotations map[string]string) (oci.Descriptor, error)
}

// Base is an image that a stage begins with or copies from.
type Base struct {
	Image  oci.Image
	Layers []oci.Layer
}

// Layers keeps the blobs of layers.
type Layers interface {
	// Has tells the size of a blob and whether it is there whole.
	Has(d digest.Digest) (size int64, ok bool)
	// NewLayer starts a layer from an uncompressed tar.
	NewLayer(ctx context.Context) (LayerWriter, error)
	// Recompress gives a stored layer with the codec that NewLayer uses,
	// the same layer if it has that codec already.
	Recompress(ctx context.Context, l oci.Layer) (oci.Layer, error)
}

// LayerWriter takes the tar of a layer. Commit ends it; Abort drops it, and
// does nothing after a Commit.
type LayerWriter interface {
	io.Writer
	Commit() (oci.Layer, error)
	Abort()
}

// Snapshots keeps layers unpacked, as overlay lower directories.
type Snapshots interface {
	// Snapshots unpacks what lacks and gives the directories, top first.
	Snapshots(ctx context.Context, layers []oci.Layer) ([]string, error)
	// Unpack applies layers, bottom first, to the merged tree in dir.
	Unpack(ctx context.Context, layers []oci.Layer, dir string) error
	// AddSnapshot takes over dir as the unpacked top layer of chain.
	AddSnapshot(chain digest.Digest, dir string) error
	// TempDir makes a directory of this build on the snapshots' file system.
	TempDir(prefix string) (Temp, error)
}

// Temp is a temporary directory.
type Temp interface {
	Path() string
	// Keep moves the directory to where failed containers stay until they
	// are removed, and gives the new path.
	Keep() (string, error)
	// Close removes the directory, unless it was kept.
	Close() error
}

// Runner runs the command of a RUN step.
type Runner interface {
	// Run waits for the end of the container's process. An error is a failure
	// to run it at all, or to let it come to its own end before that of ctx.
	Run(ctx context.Context, c Container) (RunResult, error)
}

// RunResult is how the process of a RUN step ended.
type RunResult struct {
	// Status is its exit status, 128+N when signal N ended it.
	Status int
	// Signal is the one that ended it, 0 for none.
	Signal int
	// OOM says that it was killed because memory ran out, where that is known.
	OOM bool
	// PeakMemory is the most memory it had, in bytes: of all processes together
	// where they have a cgroup of their own, else of the largest one; 0 where
	// it is not known.
	PeakMemory int64
	// Limits has a sentence for each limit that was met.
	Limits []string
	// Fault says why the command could not be started; Status is then 126 or 127.
	Fault string
}

// Container is what a Runner runs.
type Container struct {
	// Dir is the bundle: where relative paths of Spec are.
	Dir  string
	Spec *specs.Spec
	// Output gets what the process prints.
	Output io.Writer
	// Secrets are by name what Spec's mounts of secrets and its annotation of
	// the environment speak of. They must not be written to any disk.
	Secrets map[string][]byte
	// Sockets are there while the process runs.
	Sockets []Socket
}

// Socket is a socket in a bundle that leads to one of the user's.
type Socket struct {
	// Name is the file's in the bundle, To what Options.Agents says.
	Name, To       string
	Mode, UID, GID uint32
}

// CacheMounts keeps directories from build to build; see cache.Cache.
type CacheMounts interface {
	Mount(ctx context.Context, m cache.Mount) (*cache.HeldMount, error)
}

// Cache remembers what steps gave; see cache.Cache.
type Cache interface {
	Lookup(key string) (*cache.Record, bool, error)
	Seen(p *cache.Preimage) bool
	Put(p *cache.Preimage, r cache.Record) error
	Alias(p *cache.Preimage, seen, of string) error
	LookupAlias(p *cache.Preimage, seen string) (*cache.Record, bool, error)
}

// Jobs hands out the leave to execute: one for each step that runs at the same
// time as others.
type Jobs interface {
	// Acquire waits until a step may execute, or for the end of ctx. The caller
	// calls release once, when the step is over.
	Acquire(ctx context.Context) (release func(), err error)
}

// Account is told of every hit and miss, in the order of the file, when all
// steps are over, and knows what earlier builds did; see cache.Session.
type Account interface {
	Expect(steps []cache.Step)
	Hit(step cache.Step, p *cache.Preimage, r *cache.Record)
	Miss(step cache.Step, p *cache.Preimage, reason string)
	Changes(step cache.Step, p *cache.Preimage, complete bool) (changes []cache.Change, ran bool)
}
