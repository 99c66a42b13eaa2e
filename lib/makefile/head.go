package makefile

// head begins the makefile.
const head = `# Builds the image of @FILE@ step by step, to the digest that ds-build gives.
# Made by ds-parse --emit=make. For GNU make:
#
#   make -f build.mk -j2              build; the digest is in IMAGE_ID
#   make -f build.mk TAG=app:v1       give the image a name, too
#   make -f build.mk stage-@STAGE@    one stage
#   make -f build.mk clean            remove what make wrote; images stay in the store
#
# Each step is a file in STEPS_DIR with the digest of the stage's image so far. Whatever
# else writes such a file takes the step's place. If the image has all of CONTEXT,
# name STEPS_DIR and this makefile in its .dockerignore.

CONTEXT     ?= .
TAG         ?=
BUILD_FLAGS ?=
STEPS_DIR   ?= .docksmith
IMAGE_ID    ?= $(STEPS_DIR)/image.id
DS_PARSE    ?= ds-parse
DS_BUILD    ?= ds-build
DS_STORE    ?= ds-store

MAKEFILE := $(lastword $(MAKEFILE_LIST))
MAKEFLAGS += --no-builtin-rules
BUILD = rm -f $@ && $(DS_BUILD) -q --iidfile $@ -MD -MF $@.d
.DELETE_ON_ERROR:

.PHONY: all tag clean
all: $(IMAGE_ID) $(if $(TAG),tag)

tag: $(IMAGE_ID)
	$(DS_STORE) tag "$$(cat '$(IMAGE_ID)')" $(TAG)

# It may be of another last step, that is newer than this one.
ifneq ($(shell cat '$(IMAGE_ID)' 2>/dev/null),$(shell cat @LAST@ 2>/dev/null))
.PHONY: $(IMAGE_ID)
endif
$(IMAGE_ID): @LAST@
	cmp -s $< '$@' || { cp $< '$@.new' && mv '$@.new' '$@'; }

clean:
	rm -rf '$(STEPS_DIR)' '$(IMAGE_ID)'

$(STEPS_DIR)/plan-@PLAN@:
	@test -f '$(MAKEFILE)' || { echo 'this makefile holds the plan: give it to make as a file, not on standard input' >&2; exit 1; }
	@mkdir -p '$(STEPS_DIR)'
	sed -n 's/^#plan //p' '$(MAKEFILE)' >$@.new
	mv $@.new $@

# What else the images depend on; steps are made again when it changes.
SETTINGS = $(strip $(CONTEXT) $(BUILD_FLAGS) $(SOURCE_DATE_EPOCH) $(DOCKSMITH_COMPRESS) $(DOCKSMITH_ROOT))
ifneq ($(shell cat '$(STEPS_DIR)/flags' 2>/dev/null),$(SETTINGS))
.PHONY: $(STEPS_DIR)/flags
endif
$(STEPS_DIR)/flags:
	@mkdir -p '$(STEPS_DIR)'
	printf '%s\n' '$(subst ','\'',$(SETTINGS))' >$@.new
	mv $@.new $@
@AGAIN@`
