package main

import (
	"encoding/json"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// imageView is what a template sees of an image: the members of its document,
// its manifest, and the names that docker has for some of them.
type imageView struct {
	imageDocument
	Manifest oci.Manifest
	Layers   []layerView

	ID, Id      digest.Digest // of the manifest
	Os          string
	RepoTags    []string
	RepoDigests []string
	RootFS      rootFSView
}

// layerView is a layer with the path of its blob.
type layerView struct {
	layerDocument
	Path string
}

type rootFSView struct {
	oci.RootFS
	Layers []digest.Digest
}

// MarshalJSON is the document: what {{json .}} prints, and its members.
func (v imageView) MarshalJSON() ([]byte, error) { return oci.Marshal(v.imageDocument) }

func newImageView(s *store.Store, img *store.Image, doc imageDocument) imageView {
	v := imageView{
		imageDocument: doc, Manifest: img.Manifest, ID: doc.Digest, Id: doc.Digest, Os: doc.OS, RepoTags: doc.Names,
		RootFS: rootFSView{doc.RootFS, doc.RootFS.DiffIDs},
	}
	for _, l := range doc.Layers {
		v.Layers = append(v.Layers, layerView{l, s.BlobPath(l.Digest)})
	}
	for _, name := range doc.Names {
		if ref, err := oci.ParseRef(name); err == nil {
			v.RepoDigests = append(v.RepoDigests, ref.Name+"@"+doc.Digest.String())
		}
	}
	return v
}

// classicManifest is the manifest of the Docksmith assignment, for tools that
// check it: one image, with the digest of its own bytes.
type classicManifest struct {
	Name    string         `json:"name"`
	Tag     string         `json:"tag"`
	Digest  digest.Digest  `json:"digest"`
	Created string         `json:"created"`
	Config  classicConfig  `json:"config"`
	Layers  []classicLayer `json:"layers"`
}

type classicConfig struct {
	Env        []string
	Cmd        []string
	WorkingDir string
}

type classicLayer struct {
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
	CreatedBy string        `json:"createdBy"`
}

// classic is the assignment's manifest of an image. Its digest is the SHA-256 of
// the manifest in this form with an empty digest. Layers are the files that are on disk.
func classic(img *store.Image) (json.RawMessage, error) {
	m := classicManifest{Config: classicConfig{
		Env:        append([]string{}, img.Config.Config.Env...),
		Cmd:        append([]string{}, img.Config.Config.Cmd...),
		WorkingDir: img.Config.Config.WorkingDir,
	}, Layers: []classicLayer{}}
	if ref, err := oci.ParseRef(img.Name); err == nil {
		m.Name, m.Tag = ref.Name, ref.Tag
	}
	if img.Config.Created != nil {
		m.Created = timestamp(*img.Config.Created)
	}
	list := rows(img)
	for i := len(list) - 1; i >= 0; i-- {
		if r := list[i]; r.Digest != "" {
			m.Layers = append(m.Layers, classicLayer{r.Digest, r.Size, r.CreatedBy})
		}
	}
	raw, err := oci.Marshal(m)
	if err != nil {
		return nil, err
	}
	m.Digest = digest.FromBytes(raw)
	return oci.Marshal(m)
}
