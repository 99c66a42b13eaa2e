package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"docksmith/lib/build"
	"docksmith/lib/buildctx"
	"docksmith/lib/cache"
	"docksmith/lib/cli"
	"docksmith/lib/dockerfile"
	"docksmith/lib/layer"
	"docksmith/lib/oci"
	"docksmith/lib/sandbox"
	"docksmith/lib/store"
)

// run is the whole program: settings, then inputs, then the build.
func (o *options) run(ctx context.Context, s *cli.IO, args []string) error {
	if o.ignored {
		return o.explainIgnored(s, args)
	}
	o.dryRun = o.dryRun || o.deps
	if len(args) != 1 {
		return cli.Usagef("want one CONTEXT, got %d operands", len(args))
	}
	if err := o.checkJobs(s); err != nil {
		return err
	}
	if o.rechecks && (o.dryRun || o.noCache || o.check) {
		return cli.Usagef("--check=N%%: --check, --dry-run and --no-cache leave nothing to compare")
	}
	if _, _, err := o.stepAlone(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	shown, err := watch(s, cancel)
	if err != nil {
		return err
	}
	j, err := newJournal(s, o, args[0], shown)
	if err != nil {
		return err
	}
	result, err := o.build(ctx, s, j, args[0])
	if o.check { // nothing was built, and there is nothing to tell of it
		return err
	}
	if err := j.end(ctx, result, err); err != nil {
		return err
	}
	return j.checked(result)
}

func (o *options) build(ctx context.Context, s *cli.IO, j *journal, operand string) (_ *build.Result, err error) {
	settings, err := o.settings()
	if err != nil {
		return nil, err
	}
	if settings.rules, err = o.checkRules(s, settings.args); err != nil {
		return nil, err
	}
	delete(settings.args, rulesArg) // no step sees it
	root, err := s.Root()
	if err != nil {
		return nil, err
	}
	if err := sandbox.EnterUserNamespace(sandbox.UserNamespaceOptions{Root: root}); err != nil {
		return nil, err
	}
	slots, err := o.openJobs(s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, slots.Close()) }()
	st, err := store.Open(root)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if !o.check && !o.dryRun {
		defer func() { err = errors.Join(err, keepCap(ctx, s, st, settings.maxBytes)) }()
	}
	j.tags = settings.tags
	if !o.check && !o.dryRun {
		j.keep(st)
	}
	if o.rechecks {
		j.recheck = newRechecker(o, st)
	}
	in, err := o.openInputs(ctx, s, st, operand)
	if err != nil {
		return nil, err
	}
	defer in.close()
	j.file = in.plan.File
	b := &builder{o: o, s: s, store: newImages(st, settings.compression), jobs: slots, settings: settings, in: in, journal: j}
	if done, err := b.check(); done || err != nil {
		return nil, err
	}
	return b.build(ctx)
}

// settings are the flags with their meaning.
type settings struct {
	tags        []oci.Ref
	args        map[string]string
	labels      map[string]string
	contexts    map[string]string
	secrets     map[string][]byte
	agents      map[string]string
	hosts       []build.Host
	allowHost   bool
	insecure    []string
	limits      sandbox.Limits
	rules       *dockerfile.Rules // instead of the plan's
	platform    oci.Platform
	epoch       time.Time
	compression layer.Compression
	maxBytes    int64 // the cap of the store; 0: none
}

func (o *options) settings() (settings, error) {
	var v settings
	for _, t := range o.tags {
		ref, err := oci.ParseRef(t)
		if err == nil && ref.Digest != "" {
			err = fmt.Errorf("reference %q: a name cannot be chosen by digest", t)
		}
		if err != nil {
			return v, cli.Usagef("-t: %v", err)
		}
		v.tags = append(v.tags, ref)
	}
	var err error
	if v.maxBytes, err = spaceCap(); err != nil {
		return v, err
	}
	if v.args, err = pairs("build-arg", o.buildArgs, true); err != nil {
		return v, err
	}
	if v.labels, err = pairs("label", o.labels, false); err != nil {
		return v, err
	}
	if v.contexts, err = pairs("build-context", o.contexts, false); err != nil {
		return v, err
	}
	if v.allowHost, v.insecure, err = allowed(o.allow); err != nil {
		return v, err
	}
	if v.hosts, err = addedHosts(o.hosts); err != nil {
		return v, err
	}
	if v.limits, err = o.limits.Limits(); err != nil {
		return v, err
	}
	if o.platform != "" {
		if v.platform, err = oci.ParsePlatform(o.platform); err != nil {
			return v, cli.Usagef("--platform: %v", err)
		}
	}
	if o.isolation != "" && !slices.Contains(sandbox.Isolations, o.isolation) {
		return v, cli.Usagef("--isolation=%s: it is one of %s", o.isolation, strings.Join(sandbox.Isolations, ", "))
	}
	if o.network != build.NetworkNone && o.network != build.NetworkHost {
		return v, cli.Usagef("--network=%s: want none or host", o.network)
	}
	if o.compress == "" {
		o.compress = os.Getenv("DOCKSMITH_COMPRESS")
	}
	v.compression = layer.Gzip
	if o.compress != "" {
		if v.compression, err = layer.ParseCompression(o.compress); err != nil {
			return v, cli.Usagef("--compress: %v", err)
		}
	}
	v.epoch, err = v.sourceDate()
	return v, err
}

// sourceDate is the time of the image: a build argument of that name wins over
// the environment, whose value is an argument too. With neither it is zero.
func (v *settings) sourceDate() (time.Time, error) {
	const name = "SOURCE_DATE_EPOCH"
	given, ok := v.args[name]
	if !ok {
		if given = os.Getenv(name); given == "" {
			return time.Time{}, nil
		}
		v.args[name] = given
	}
	if err := os.Setenv(name, given); err != nil {
		return time.Time{}, err
	}
	return cli.SourceDateEpoch()
}

// pairs reads NAME=VALUE words. A lone name takes its value from the
// environment, if that is allowed and set, or else is left out.
func pairs(flag string, words []string, environment bool) (map[string]string, error) {
	out := map[string]string{}
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		if name == "" || !ok && !environment {
			return nil, cli.Usagef("--%s %s: want NAME=VALUE", flag, w)
		}
		if !ok {
			if value, ok = os.LookupEnv(name); !ok {
				continue
			}
		}
		out[name] = value
	}
	return out, nil
}

// builder is one run with everything at hand.
type builder struct {
	o        *options
	s        *cli.IO
	store    *images
	settings settings
	in       *inputs
	journal  *journal
	jobs     build.Jobs
}

func (b *builder) build(ctx context.Context) (_ *build.Result, err error) {
	known, err := cache.Open(filepath.Join(b.store.Root(), "cache"))
	if err != nil {
		return nil, err
	}
	alone, err := b.o.alone(b.store)
	if err != nil {
		return nil, err
	}
	account := known.Begin(b.historyName())
	defer func() {
		if !b.o.dryRun {
			err = errors.Join(err, account.Close())
		}
		err = errors.Join(err, b.in.index.Save())
	}()
	further, err := openContexts(b.settings.contexts, b.store, b.in)
	if err != nil {
		return nil, err
	}
	defer further.close()
	if b.settings.secrets, err = readSecrets(b.o.secrets, b.in.deps); err != nil {
		return nil, err
	}
	if b.settings.agents, err = agents(b.o.ssh); err != nil {
		return nil, err
	}
	result, err := build.Build(ctx, b.in.plan, build.Options{
		Store:  b.store,
		Runner: runner{isolation: b.o.isolation, limits: b.settings.limits}, Cache: known, Account: account,
		Context: b.in.context, Contexts: further.named, Index: b.in.index, View: sandbox.OverlayView,
		Args: b.settings.args, Target: b.o.target, Alone: alone, NoCache: b.o.noCache, Recheck: b.journal.recheck.options(), DryRun: b.o.dryRun, NoOverlay: b.o.noOverlay, Network: b.o.network,
		AllowHostNetwork: b.settings.allowHost, Insecure: b.settings.insecure,
		Fetcher: fetcher{}, CacheMounts: known, Secrets: b.settings.secrets, Agents: b.settings.agents,
		Hosts: b.settings.hosts, Platform: b.settings.platform, CanRun: emulates, Epoch: b.settings.epoch, Labels: b.settings.labels,
		ID: b.journal.id, Jobs: b.jobs, Output: b.journal.output, Events: b.event,
	})
	if err != nil {
		return nil, err
	}
	if b.o.deps {
		return result, b.in.deps.print(b.s)
	}
	if b.o.dryRun {
		return result, nil
	}
	b.record(result)
	if alone == nil || len(b.settings.tags) > 0 { // what is on the way to an image is none that anybody looks for
		err = b.store.Tag(ctx, result.Descriptor, b.settings.tags...)
	}
	if err != nil {
		return nil, err
	}
	return result, b.report(ctx, result)
}

// event is build.Options.Events.
func (b *builder) event(e build.Event) {
	if missed(e) {
		b.in.collect()
	}
	b.journal.event(e)
}

// historyName is what the history of this build goes under: the image's first
// name, or the Dockerfile if it has none; "" if that is no file either, or the
// build is a single step.
func (b *builder) historyName() string {
	switch {
	case b.o.step != "":
		return ""
	case len(b.settings.tags) > 0:
		return b.settings.tags[0].String()
	}
	file, err := filepath.Abs(b.in.plan.File)
	if err == nil {
		_, err = os.Stat(file)
	}
	if err != nil {
		return ""
	}
	return file
}

// report gives the result to those who asked for it.
func (b *builder) report(ctx context.Context, r *build.Result) error {
	if err := b.in.deps.write(ctx, b.store); err != nil {
		return err
	}
	if b.in.deps.holds(b.o.iidfile) {
		b.s.Warnf("%s is among the files that the image copies, and so makes each build another one: name it in the ignore file", b.o.iidfile)
	}
	if b.o.iidfile != "" {
		written, err := writeChanged(b.o.iidfile, []byte(r.Descriptor.Digest))
		if err == nil && written {
			err = b.in.deps.stamp(b.o.iidfile)
		}
		if err != nil {
			return err
		}
	}
	if err := b.writeMetadata(r); err != nil {
		return err
	}
	if b.o.quiet {
		_, err := fmt.Fprintln(b.s.Stdout, r.Descriptor.Digest)
		return err
	}
	return b.s.JSON(r.Descriptor)
}

// explain gives an error its place, its status and what to do about it.
func explain(err error) error {
	out := err
	if step, ok := errors.AsType[*build.StepError](err); ok {
		out = &cli.Located{File: step.File, Line: step.Line, Err: step.Err}
		if step.Status != 0 {
			out = &cli.StatusError{Status: step.Status, Err: out}
		}
	}
	if missing, ok := errors.AsType[*build.MissingImageError](err); ok && missing.Near == "" {
		if near, ok := errors.AsType[*store.NotFoundError](err); ok && len(near.Nearest) > 0 {
			out = cli.WithHint(out, "the store has %s", strings.Join(near.Nearest, ", "))
		}
		out = cli.WithHint(out, "bring it in with docksmith import ARCHIVE %s, or docksmith base %s for a small one of this machine", missing.Name, missing.Name)
	}
	if foreign, ok := errors.AsType[*build.ForeignError](err); ok {
		out = cli.WithHint(out, "%s", emulationHint(foreign))
	}
	if ignored, ok := errors.AsType[*buildctx.IgnoredError](err); ok {
		out = cli.WithHint(out, "%s", ignored.Hint())
	}
	if _, ok := errors.AsType[*build.ViewError](err); ok {
		out = cli.WithHint(out, "ds-build --no-overlay builds without an overlay file system")
	}
	if leave, ok := errors.AsType[*build.LeaveError](err); ok {
		flag := "--network=host"
		if leave.Allow != "" {
			flag = "--allow " + leave.Allow
		}
		out = cli.WithHint(out, "ds-build %s allows it", flag)
	}
	if missing, ok := errors.AsType[*build.MissingSecretError](err); ok {
		out = cli.WithHint(out, "ds-build --secret id=%s,src=FILE gives it", missing.ID)
	}
	if missing, ok := errors.AsType[*build.MissingAgentError](err); ok {
		out = cli.WithHint(out, "ds-build --ssh %s gives that of SSH_AUTH_SOCK", missing.ID)
	}
	if _, ok := errors.AsType[*build.NoAgentError](err); ok {
		out = cli.WithHint(out, "no ssh agent was given: ds-build --ssh default gives that of SSH_AUTH_SOCK")
	}
	return out
}
