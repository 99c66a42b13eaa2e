// Package oci holds the words every other package speaks: image references,
// platforms, descriptors, and the manifest, index and configuration documents
// of an image, over the types of the OCI image specification.
//
// It does no input or output and knows no store. Its one invariant: bytes that
// came from elsewhere become one of its types only through a Decode function,
// which refuses what two readers could understand in two ways.
//
//	ref, err := oci.ParseRef("localhost:5000/app")      // tag "latest"
//	m, err := oci.DecodeManifest(raw, desc.MediaType)
//	img, err := oci.DecodeImage(rawConfig)
//	spec := oci.RuntimeSpec(img, oci.RuntimeOptions{Args: []string{"sh"}})
package oci

import (
	"errors"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// ErrNotFound is what a lookup of an image, a blob or a platform answers when
// there is none; ask with errors.Is.
var ErrNotFound = errors.New("not found")

// Types of the image specification under one roof, so that a consumer imports
// this package alone.
type (
	Descriptor = v1.Descriptor
	Manifest   = v1.Manifest
	Index      = v1.Index
	Platform   = v1.Platform
	RootFS     = v1.RootFS
	History    = v1.History
)

// Media types of documents and layers, the specification's and docker's.
const (
	MediaTypeIndex     = v1.MediaTypeImageIndex
	MediaTypeManifest  = v1.MediaTypeImageManifest
	MediaTypeConfig    = v1.MediaTypeImageConfig
	MediaTypeLayer     = v1.MediaTypeImageLayer
	MediaTypeLayerGzip = v1.MediaTypeImageLayerGzip
	MediaTypeLayerZstd = v1.MediaTypeImageLayerZstd
	MediaTypeEmptyJSON = v1.MediaTypeEmptyJSON

	MediaTypeDockerList      = "application/vnd.docker.distribution.manifest.list.v2+json"
	MediaTypeDockerManifest  = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeDockerConfig    = "application/vnd.docker.container.image.v1+json"
	MediaTypeDockerLayer     = "application/vnd.docker.image.rootfs.diff.tar"
	MediaTypeDockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip"

	// nonDistributable is deprecated, and still what old images carry.
	nonDistributable = "application/vnd.oci.image.layer.nondistributable.v1.tar"
)

// Annotations that name an image inside an index, and the ones of our own in a
// bundle's config.json.
const (
	AnnotationRefName   = v1.AnnotationRefName
	AnnotationCreated   = v1.AnnotationCreated
	AnnotationImageName = "io.containerd.image.name"

	AnnotationOverlayLower = "dev.docksmith.overlay.lower"
	AnnotationOverlayUpper = "dev.docksmith.overlay.upper"
	AnnotationOverlayWork  = "dev.docksmith.overlay.work"
	AnnotationUser         = "dev.docksmith.user"
	AnnotationSecretEnv    = "dev.docksmith.secret.env"
	AnnotationImage        = "dev.docksmith.image"
	AnnotationVolumes      = "dev.docksmith.volumes"
)

// Mounts of our own in a bundle's config.json: a file that holds a secret, a
// part of the source, and one that may be missing.
const (
	MountSecret   = "docksmith.secret"
	OptionSubpath = "x-docksmith.subpath"
	OptionMayLack = "x-docksmith.maylack"
)

// Layer is a stored layer: where its blob is, and the digest of the tar inside
// it. The two are equal for an uncompressed layer.
type Layer struct {
	Descriptor
	DiffID digest.Digest `json:"diffID"`
}

// IsIndex reports whether t is the media type of a list of manifests.
func IsIndex(t string) bool { return t == MediaTypeIndex || t == MediaTypeDockerList }

// IsManifest reports whether t is the media type of the manifest of one image.
func IsManifest(t string) bool { return t == MediaTypeManifest || t == MediaTypeDockerManifest }

// IsConfig reports whether t is the media type of an image's configuration.
func IsConfig(t string) bool { return t == MediaTypeConfig || t == MediaTypeDockerConfig }

// IsLayer reports whether t is the media type of a layer that can be read here:
// a tar, plain or compressed with gzip or zstd.
func IsLayer(t string) bool {
	switch t {
	case MediaTypeLayer, MediaTypeLayerGzip, MediaTypeLayerZstd,
		MediaTypeDockerLayer, MediaTypeDockerLayerGzip,
		nonDistributable, nonDistributable + "+gzip", nonDistributable + "+zstd":
		return true
	}
	return false
}

// ChainID is the identity of a stack of layers, bottom first: two stacks with
// the same chain ID have the same content. The chain ID of no layers is "".
func ChainID(diffIDs []digest.Digest) digest.Digest {
	var chain digest.Digest
	for _, d := range diffIDs {
		chain = NextChainID(chain, d)
	}
	return chain
}

// NextChainID is the chain ID of the layer diffID on top of parent ("" for none).
func NextChainID(parent, diffID digest.Digest) digest.Digest {
	if parent == "" {
		return diffID
	}
	return digest.FromString(parent.String() + " " + diffID.String())
}

// DiffIDs lists the diff IDs of layers in their order.
func DiffIDs(layers []Layer) []digest.Digest {
	out := make([]digest.Digest, len(layers))
	for i, l := range layers {
		out[i] = l.DiffID
	}
	return out
}
