package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"docksmith/lib/cache"
	"docksmith/lib/dockerfile"
	"docksmith/lib/layer"
	"docksmith/lib/oci"
	"docksmith/lib/plan"
)

// runJob is a RUN whose command is known.
type runJob struct {
	b       *builder
	s       *stage
	st      *plan.Step
	shell   []string  // of the shell form
	args    []string  // shell included
	script  *document // a here-document that is executed as a file
	env     []string  // beside that of the image: the visible build arguments
	network string
	mounts  []*runMount
	sockets []Socket
	secrets map[string][]byte // those that mounts name
}

// scripts is where a here-document that is a script stands during its RUN.
const scripts = "/dev/pipes"

// runCommand executes RUN.
func (b *builder) runCommand(ctx context.Context, s *stage, st *plan.Step) (Event, error) {
	r := &runJob{b: b, s: s, st: st, network: b.o.Network}
	if v, ok := st.Flag("network"); ok && v != "default" {
		r.network = v
	}
	if err := r.setCommand(); err != nil {
		return Event{}, err
	}
	r.env = s.argEnv()
	defer r.close()
	if err := r.setMounts(ctx); err != nil {
		return Event{}, err
	}
	if b.o.DryRun {
		if err := r.lookAtBinds(ctx); err != nil {
			return Event{}, err
		}
	}
	w := &work{
		step: st, text: r.text(), pre: r.preimage(), quick: r.quick(), files: r.files(), place: r.place(), claim: r.holdCaches, make: r.make,
	}
	if w.quick == nil {
		w.glance, w.listed = r.glance, r.listed
	}
	e, err := b.layerStep(ctx, s, w)
	for _, m := range r.mounts {
		if m.bind != nil {
			e.Read += bytesRead(m.bind.tree)
		}
	}
	return e, err
}

func (r *runJob) insecure() bool {
	v, _ := r.st.Flag("security")
	return v == "insecure"
}

// setCommand finds the words of the command. A lone here-document is the
// command itself: a script if it begins with "#!", else text for the shell.
// Others belong to the shell's own syntax and go back to where they stood.
func (r *runJob) setCommand() error {
	r.args = slices.Clone(r.st.Args)
	if docs := r.st.Heredocs(); len(docs) > 0 {
		if len(r.args) != 1 || r.st.Form != dockerfile.FormShell {
			return errors.New("a here-document needs the shell form")
		}
		if name, ok := dockerfile.HeredocWord(strings.TrimSpace(r.args[0])); ok && len(docs) == 1 {
			r.args[0] = docs[0].Text
			if strings.HasPrefix(docs[0].Text, "#!") {
				r.script = &document{name, docs[0].Text}
				r.args[0] = path.Join(scripts, name)
			}
		} else {
			for _, d := range docs {
				r.args[0] += "\n" + d.Text + d.Name
			}
		}
	}
	if r.st.Form == dockerfile.FormShell {
		r.shell = r.s.shell()
		r.args = append(slices.Clip(r.shell), strings.Join(r.args, " "))
	}
	if len(r.args) == 0 || r.args[0] == "" {
		return errors.New("the command is empty")
	}
	return nil
}

// text is the history entry: the declared build arguments, counted, and the
// command as it was run.
func (r *runJob) text() string {
	words := []string{r.st.Op.String()}
	if n := len(r.s.args); n > 0 {
		words = append(words, fmt.Sprintf("|%d", n))
	}
	for _, name := range r.s.args {
		value, _ := r.s.vars.lookup(name)
		words = append(words, name+"="+value)
	}
	return strings.Join(append(words, r.args...), " ") + historyMark
}

// preimage holds all that the command can see. Proxies are no part of it: they
// say how to reach the network from here, not what is fetched.
func (r *runJob) preimage() *cache.Preimage {
	p := r.b.newPreimage(r.s, r.st, r.args[len(r.shell):]...)
	if r.shell != nil {
		p.Add("shell", jsonWords(r.shell))
	}
	if r.script != nil {
		p.Add("here-document", r.script.text)
	}
	p.Add("working directory", r.s.img.Config.WorkingDir)
	p.Add("user", r.s.img.Config.User)
	p.Add("platform", oci.PlatformString(r.s.platform()))
	p.Add("network", r.network)
	if r.insecure() {
		p.Add("security", "insecure")
	}
	for _, m := range r.mounts {
		p.Add("mount "+m.target, m.keyText())
	}
	for _, h := range r.b.o.Hosts {
		p.Add("host "+h.Name, h.Address)
	}
	if name := r.b.o.Args[hostnameArg]; name != "" {
		p.Add("hostname", name)
	}
	// In their order, which the command can see too.
	for _, kv := range r.s.img.Config.Env {
		name, value, _ := strings.Cut(kv, "=")
		p.Add("ENV "+name, value)
	}
	for _, kv := range r.env {
		name, value, _ := strings.Cut(kv, "=")
		p.Add("ARG "+name, value)
	}
	return p
}

// make runs the command and writes what it changed.
func (r *runJob) make(ctx context.Context, m *maker) error {
	if r.b.o.Runner == nil {
		return errors.New("nothing here can run commands")
	}
	if err := r.b.canRun(r.s.platform()); err != nil {
		return err
	}
	if len(r.s.layers) == 0 {
		return errors.New("the image is empty: there is nothing to run")
	}
	if r.b.o.NoOverlay {
		return r.makeCopied(ctx, m)
	}
	upper, err := m.newTree(ctx, "upper")
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(m.temp.Path(), "work"), 0o755); err != nil {
		return err
	}
	spec, err := r.spec(m)
	if err != nil {
		return err
	}
	if err := r.overlay(ctx, spec); err != nil {
		return err
	}
	if err := r.addMounts(ctx, m, spec); err != nil {
		return err
	}
	if err := r.run(ctx, m, spec); err != nil {
		return err
	}
	lowers, err := r.b.lowers(ctx, r.s)
	if err != nil {
		return err
	}
	m.dir = upper
	return layer.PackUpper(ctx, m.tar, upper, layer.CreateOptions{
		Epoch: r.b.o.Epoch, Lowers: lowers, SetTimes: true, Warn: m.warn,
	})
}

// run starts the command and waits for its end.
func (r *runJob) run(ctx context.Context, m *maker, spec *specs.Spec) error {
	e := Event{Type: EventRun, Step: r.s.step, Total: r.b.total, Stage: r.s.name, Line: r.st.Line, Text: stepText(r.st), Log: r.b.logOf(r.s.step)}
	r.b.emit(e)
	shown := r.b.output(e)
	output := newRedactor(shown, r.b.o.Secrets)
	result, err := r.b.o.Runner.Run(ctx, Container{
		Dir: m.temp.Path(), Spec: spec, Output: output, Secrets: r.secrets, Sockets: r.sockets,
	})
	err = errors.Join(err, output.Close())
	if c, ok := shown.(io.Closer); ok {
		err = errors.Join(err, c.Close())
	}
	m.peakMemory, m.log = result.PeakMemory, e.Log
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case result.Status == statusNotInvocable && foreign(r.s.platform()):
		return &ForeignError{r.s.platform(), errors.New("its command could not be executed on this machine")}
	case result.Status != 0:
		return r.failed(ctx, m, result)
	}
	return nil
}

// logOf names the output of a step.
func (b *builder) logOf(step int) string {
	if b.o.ID == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", b.o.ID, step)
}

// spec is the container that the command runs in, all but its layers.
func (r *runJob) spec(m *maker) (*specs.Spec, error) {
	env := append([]string{fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.b.o.Epoch.Unix())}, r.b.proxyEnv(r.s.scope())...)
	var privileges []string
	if r.insecure() {
		privileges = r.b.o.Insecure
	}
	spec := oci.RuntimeSpec(r.s.img, oci.RuntimeOptions{
		Args: r.args, Entrypoint: []string{}, Env: append(env, r.env...),
		HostNetwork: r.network == NetworkHost, Privileged: privileges, Hostname: r.b.o.Args[hostnameArg],
	})
	// The image is none yet: nothing of its configuration describes a container.
	for name := range spec.Annotations {
		if strings.HasPrefix(name, "org.opencontainers.") {
			delete(spec.Annotations, name)
		}
	}
	if len(r.b.o.Hosts) > 0 {
		if err := m.mountFile(spec, "hosts", r.hosts(spec.Hostname)); err != nil {
			return nil, err
		}
	}
	if r.script != nil {
		mount, err := r.mountScript(m)
		if err != nil {
			return nil, err
		}
		spec.Mounts = append(spec.Mounts, mount)
	}
	return spec, nil
}

// overlay adds the annotations of an overlay of the stage's layers to spec.
func (r *runJob) overlay(ctx context.Context, spec *specs.Spec) error {
	lowers, err := r.b.lowers(ctx, r.s)
	if err != nil {
		return err
	}
	spec.Annotations[oci.AnnotationOverlayLower] = joinLowers(lowers)
	spec.Annotations[oci.AnnotationOverlayUpper] = "upper"
	spec.Annotations[oci.AnnotationOverlayWork] = "work"
	return nil
}

func (r *runJob) mountScript(m *maker) (specs.Mount, error) {
	dir := filepath.Join(m.temp.Path(), "pipes")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return specs.Mount{}, err
	}
	file := filepath.Join(dir, filepath.Base(r.script.name))
	if err := os.WriteFile(file, []byte(r.script.text), 0o755); err != nil {
		return specs.Mount{}, err
	}
	// The modes must not depend on the umask.
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(file, 0o755)); err != nil {
		return specs.Mount{}, err
	}
	return specs.Mount{Destination: scripts, Type: "bind", Source: "pipes", Options: []string{"rbind", "ro"}}, nil
}
