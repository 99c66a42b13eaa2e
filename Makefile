# make            builds the programs into bin/
# make demo       builds, makes a base image offline, runs the main job
# make test       everything that this machine can run; no network, no Docker
# make help       the other targets

VERSION ?= 0.1.0
GO      ?= go

PREFIX  ?= /usr/local
BINDIR  ?= $(PREFIX)/bin
MANDIR  ?= $(PREFIX)/share/man
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR  ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d

FUZZTIME ?= 30s

export CGO_ENABLED = 0
BUILD = $(GO) build -trimpath -buildvcs=false -ldflags '-s -w -buildid= -X docksmith/lib/cli.version=$(VERSION)'

.PHONY: all
all: ## build bin/ (the default)
	$(BUILD) -o bin/ ./cmd/...
	ln -sf ds-exec bin/ds-runtime
	install -m 755 scripts/docksmith bin/docksmith

.PHONY: demo
demo: all ## build, make a base image offline, run the main job
	PATH="$(CURDIR)/bin:$$PATH" sh scripts/demo

.PHONY: test
test: ## run every test that this machine can run
	sh scripts/run-tests ./...

.PHONY: check
check: lint stale race test ## what must hold before a commit lands

# Not lib/sandbox: its children share our memory until they execute, and the
# race detector's runtime does not survive that.
.PHONY: race
race: ## the libraries' tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race $$($(GO) list ./lib/... | grep -v '/sandbox$$')

.PHONY: lint
lint: ## vet for every platform, format, shell and manual
	sh scripts/lint

.PHONY: gen
gen: all ## write the generated files again
	$(GO) run ./scripts/gen-completions -bin bin -out completions

.PHONY: stale
stale: all ## fail when a generated file is not what gen would write
	$(GO) run ./scripts/gen-completions -bin bin -out completions -check

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	sh scripts/fuzz $(FUZZTIME)

# Copies are measured, as install makes them: what the linker has just written is in
# the page cache in small pieces, which costs each start a millisecond.
.PHONY: bench
bench: all ## measure against the peers that are installed
	dir=$$(mktemp -d) && trap 'rm -r "$$dir"' EXIT && cp bin/* "$$dir" && $(GO) run ./scripts/bench -bin "$$dir" $(BENCHFLAGS)

.PHONY: reproducible
reproducible: ## build twice, from two places, and compare
	sh scripts/reproducible

.PHONY: install
install: all ## install below DESTDIR and PREFIX
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man7
	install -d $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR) $(DESTDIR)$(FISHDIR)
	install -m 755 bin/* $(DESTDIR)$(BINDIR)
	ln -sf ds-exec $(DESTDIR)$(BINDIR)/ds-runtime
	install -m 644 man/*.1 $(DESTDIR)$(MANDIR)/man1
	install -m 644 man/*.5 $(DESTDIR)$(MANDIR)/man5
	install -m 644 man/*.7 $(DESTDIR)$(MANDIR)/man7
	install -m 644 completions/bash/* $(DESTDIR)$(BASHDIR)
	install -m 644 completions/zsh/* $(DESTDIR)$(ZSHDIR)
	install -m 644 completions/fish/* $(DESTDIR)$(FISHDIR)

.PHONY: uninstall
uninstall: ## remove what install put there
	rm -f $(addprefix $(DESTDIR)$(BINDIR)/,docksmith ds-runtime $(notdir $(wildcard cmd/*)))
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/man1/,$(notdir $(wildcard man/*.1)))
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/man5/,$(notdir $(wildcard man/*.5)))
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/man7/,$(notdir $(wildcard man/*.7)))
	rm -f $(addprefix $(DESTDIR)$(BASHDIR)/,$(notdir $(wildcard completions/bash/*)))
	rm -f $(addprefix $(DESTDIR)$(ZSHDIR)/,$(notdir $(wildcard completions/zsh/*)))
	rm -f $(addprefix $(DESTDIR)$(FISHDIR)/,$(notdir $(wildcard completions/fish/*)))

.PHONY: dist
dist: ## a source archive with its checksum, from the last commit
	git archive --format=tar --prefix=docksmith-$(VERSION)/ HEAD | gzip -n >docksmith-$(VERSION).tar.gz
	sha256sum docksmith-$(VERSION).tar.gz >docksmith-$(VERSION).tar.gz.sha256

.PHONY: clean
clean: ## remove what make built
	rm -rf bin docksmith-$(VERSION).tar.gz docksmith-$(VERSION).tar.gz.sha256

.PHONY: help
help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1	\2/p' Makefile | expand -t 15
