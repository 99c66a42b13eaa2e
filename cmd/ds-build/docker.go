package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"

	"docksmith/lib/build"
	"docksmith/lib/cli"
	"docksmith/lib/oci"
)

// What people know from docker build.

// dockerFlags are its flags that are none here, and what to do instead.
var dockerFlags = map[string]string{
	"annotation":      "annotations: ds-store commit makes an image with other ones",
	"attest":          noAttestation,
	"build-arg-file":  "give each as --build-arg NAME=VALUE",
	"builder":         "there is no builder to choose: ds-build does it all",
	"cache-from":      noCache,
	"cache-to":        noCache,
	"call":            "--check is --call=check",
	"cgroup-parent":   "ds-exec makes the cgroups that limits take; where it may not, --best-effort does without",
	"debug":           "--progress=json tells all there is",
	"D":               "--progress=json tells all there is",
	"force-rm":        "nothing to remove: only a RUN that failed leaves a container, for a day",
	"load":            "not needed: the image is in the store; ds-store export IMAGE | docker load gives it to docker",
	"no-cache-filter": "--no-cache is for all stages; --target STAGE --no-cache makes one anew, for later builds too",
	"o":               output,
	"output":          output,
	"provenance":      noAttestation,
	"pull":            "nothing is fetched: docksmith import brings in a newer base image",
	"push":            "nothing is pushed: ds-store export -o FILE IMAGE, and skopeo copy oci-archive:FILE docker://...",
	"rm":              "not needed: only a RUN that failed leaves a container, for a day",
	"sbom":            noAttestation,
	"security-opt":    "--allow security.insecure lets a step ask for --security=insecure",
	"squash":          "a last stage with FROM scratch and COPY --from=STAGE / / has one layer",
}

const (
	noAttestation = "no attestation is made: ds-store logs --json BUILD has the record of the build"
	noCache       = "the cache is in the store, $DOCKSMITH_ROOT, and always used"
	output        = "the image goes into the store: ds-store export IMAGE writes an archive, ds-store unpack IMAGE DIR its files"
)

// addedHosts reads the words of --add-host: NAME:ADDRESS or NAME=ADDRESS.
func addedHosts(words []string) ([]build.Host, error) {
	var list []build.Host
	for _, w := range words {
		name, address, ok := strings.Cut(w, "=")
		if !ok {
			name, address, ok = strings.Cut(w, ":")
		}
		addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(address, "["), "]"))
		if !ok || err != nil || name == "" || strings.ContainsAny(name, " \t\n#") {
			return nil, cli.Usagef("--add-host %s: want NAME:ADDRESS", w)
		}
		list = append(list, build.Host{Name: name, Address: addr.String()})
	}
	return list, nil
}

// metadata is the document of --metadata-file: the members that buildx writes
// and that mean something here.
type metadata struct {
	Config     string         `json:"containerimage.config.digest"`
	Descriptor oci.Descriptor `json:"containerimage.descriptor"`
	Digest     string         `json:"containerimage.digest"`
	Names      string         `json:"image.name,omitempty"`
	Build      string         `json:"docksmith.build"`
}

func (b *builder) writeMetadata(r *build.Result) error {
	if b.o.metadata == "" {
		return nil
	}
	raw, err := b.store.ReadDocument(r.Descriptor)
	if err != nil {
		return err
	}
	manifest, err := oci.DecodeManifest(raw, r.Descriptor.MediaType)
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	m := metadata{
		Config: manifest.Config.Digest.String(), Descriptor: r.Descriptor, Digest: r.Descriptor.Digest.String(),
		Names: strings.Join(names(b.settings.tags), ","), Build: b.journal.id,
	}
	return cli.WriteFile(b.o.metadata, func(w io.Writer) error { return cli.WriteJSON(w, m) })
}
