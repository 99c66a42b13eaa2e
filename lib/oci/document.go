package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/opencontainers/image-spec/specs-go"
)

// MaxDocument bounds a manifest, an index or a configuration: registries refuse
// more, and nothing of a foreign document is read into memory beyond it.
const MaxDocument = 4 << 20

// Image is the configuration document of an image.
type Image struct {
	Created *time.Time `json:"created,omitempty"`
	Author  string     `json:"author,omitempty"`
	Platform
	Config  ImageConfig `json:"config"`
	RootFS  RootFS      `json:"rootfs"`
	History []History   `json:"history,omitempty"`
}

// ImageConfig is what a container of the image starts with: the members of the
// specification, and the three that docker adds and every builder needs.
type ImageConfig struct {
	User         string              `json:"User,omitempty"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
	Env          []string            `json:"Env,omitempty"`
	Entrypoint   []string            `json:"Entrypoint,omitempty"`
	Cmd          []string            `json:"Cmd,omitempty"`
	Healthcheck  *Healthcheck        `json:"Healthcheck,omitempty"`
	ArgsEscaped  bool                `json:"ArgsEscaped,omitempty"`
	Volumes      map[string]struct{} `json:"Volumes,omitempty"`
	WorkingDir   string              `json:"WorkingDir,omitempty"`
	Labels       map[string]string   `json:"Labels,omitempty"`
	OnBuild      []string            `json:"OnBuild,omitempty"`
	StopSignal   string              `json:"StopSignal,omitempty"`
	Shell        []string            `json:"Shell,omitempty"`
}

// Healthcheck is docker's member of that name. Test is ["NONE"], or "CMD" and
// arguments, or "CMD-SHELL" and one command line; times are in nanoseconds.
type Healthcheck struct {
	Test          []string      `json:"Test,omitempty"`
	Interval      time.Duration `json:"Interval,omitempty"`
	Timeout       time.Duration `json:"Timeout,omitempty"`
	StartPeriod   time.Duration `json:"StartPeriod,omitempty"`
	StartInterval time.Duration `json:"StartInterval,omitempty"`
	Retries       int           `json:"Retries,omitempty"`
}

// Command is what a container of the image runs: entrypoint, then command.
func (c ImageConfig) Command() []string {
	return append(append([]string(nil), c.Entrypoint...), c.Cmd...)
}

// Marshal writes v as one compact line without its newline and without HTML
// escaping ("&&" stays "&&"): the form whose digest is an image's identity.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// NewManifest is a manifest of the image specification over config and layers.
func NewManifest(config Descriptor, layers []Descriptor, annotations map[string]string) Manifest {
	if layers == nil {
		layers = []Descriptor{}
	}
	return Manifest{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   MediaTypeManifest,
		Config:      config,
		Layers:      layers,
		Annotations: annotations,
	}
}

// NewIndex is an index of the image specification over manifests.
func NewIndex(manifests []Descriptor) Index {
	if manifests == nil {
		manifests = []Descriptor{}
	}
	return Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: MediaTypeIndex, Manifests: manifests}
}

// DecodeManifest reads the manifest of one image. mediaType is what the
// descriptor said ("" when nothing did); a document that says otherwise, or
// that could also be read as an index, is refused.
func DecodeManifest(raw []byte, mediaType string) (Manifest, error) {
	var m Manifest
	has, err := decode(raw, &m)
	if err != nil {
		return Manifest{}, fmt.Errorf("read manifest: %w", err)
	}
	said := m.MediaType
	switch {
	case has["manifests"] || has["fslayers"]:
		return Manifest{}, errors.New("read manifest: has members of another kind of document")
	case !has["config"] || !has["layers"]:
		return Manifest{}, errors.New("read manifest: config or layers are missing")
	case m.SchemaVersion != 2:
		return Manifest{}, fmt.Errorf("read manifest: schema version %d: want 2", m.SchemaVersion)
	case said != "" && !IsManifest(said), mediaType != "" && !IsManifest(mediaType), said != "" && mediaType != "" && said != mediaType:
		return Manifest{}, fmt.Errorf("read manifest: media type %q where %q was announced", said, mediaType)
	}
	for i, d := range append([]Descriptor{m.Config}, m.Layers...) {
		if err := ValidDescriptor(d); err != nil {
			return Manifest{}, fmt.Errorf("read manifest: %s: %w", memberName(i), err)
		}
	}
	return m, nil
}

func memberName(i int) string {
	if i == 0 {
		return "config"
	}
	return fmt.Sprintf("layer %d", i)
}

// DecodeIndex reads a list of manifests, under the same rule as DecodeManifest.
func DecodeIndex(raw []byte, mediaType string) (Index, error) {
	var idx Index
	has, err := decode(raw, &idx)
	if err != nil {
		return Index{}, fmt.Errorf("read index: %w", err)
	}
	said := idx.MediaType
	switch {
	case has["config"] || has["layers"] || has["fslayers"]:
		return Index{}, errors.New("read index: has members of another kind of document")
	case !has["manifests"]:
		return Index{}, errors.New("read index: manifests are missing")
	case idx.SchemaVersion != 2:
		return Index{}, fmt.Errorf("read index: schema version %d: want 2", idx.SchemaVersion)
	case said != "" && !IsIndex(said), mediaType != "" && !IsIndex(mediaType), said != "" && mediaType != "" && said != mediaType:
		return Index{}, fmt.Errorf("read index: media type %q where %q was announced", said, mediaType)
	}
	for i, d := range idx.Manifests {
		if err := ValidDescriptor(d); err != nil {
			return Index{}, fmt.Errorf("read index: manifest %d: %w", i+1, err)
		}
	}
	return idx, nil
}

// DecodeImage reads an image's configuration.
func DecodeImage(raw []byte) (Image, error) {
	var img Image
	has, err := decode(raw, &img)
	if err != nil {
		return Image{}, fmt.Errorf("read config: %w", err)
	}
	if !has["rootfs"] {
		return Image{}, errors.New("read config: rootfs is missing")
	}
	for i, d := range img.RootFS.DiffIDs {
		if err := ValidDigest(d); err != nil {
			return Image{}, fmt.Errorf("read config: diff ID %d: %w", i+1, err)
		}
	}
	return img, nil
}

// ValidDescriptor refuses a descriptor whose digest or size cannot be true.
func ValidDescriptor(d Descriptor) error {
	if err := ValidDigest(d.Digest); err != nil {
		return err
	}
	if d.Size < 0 {
		return fmt.Errorf("%s: size %d", d.Digest, d.Size)
	}
	return nil
}

// decode parses one JSON object followed by nothing, and returns the names of
// its members in lower case. A member given twice is refused, also in another
// case: encoding/json matches names without regard to case and keeps the last,
// other readers keep the first.
func decode(raw []byte, v any) (map[string]bool, error) {
	if len(raw) > MaxDocument {
		return nil, fmt.Errorf("longer than %d bytes", MaxDocument)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return nil, err
	}
	if b := bytes.TrimLeft(raw, " \t\r\n"); len(b) == 0 || b[0] != '{' {
		return nil, errors.New("not a JSON object")
	}
	has := make(map[string]bool)
	for name := range memberNames(raw) {
		name = strings.ToLower(name)
		if has[name] {
			return nil, fmt.Errorf("member %q is given twice", name)
		}
		has[name] = true
	}
	return has, nil
}

// memberNames yields the names of the members of an object, duplicates
// included. raw is known to be valid JSON, so brackets and quotes are enough.
func memberNames(raw []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		depth, wantName := 0, false
		for i := 0; i < len(raw); i++ {
			switch raw[i] {
			case '{', '[':
				depth++
				wantName = depth == 1
			case '}', ']':
				depth--
			case ',':
				wantName = depth == 1
			case '"':
				end := i + 1
				for ; raw[end] != '"'; end++ {
					if raw[end] == '\\' {
						end++
					}
				}
				if wantName {
					var name string
					if json.Unmarshal(raw[i:end+1], &name) != nil || !yield(name) {
						return
					}
					wantName = false
				}
				i = end
			}
		}
	}
}
