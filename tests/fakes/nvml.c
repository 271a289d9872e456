/* A libnvidia-ml.so.1 without a GPU: the functions that otel_embed asks for, as nvidia-ml-py calls them.
 *
 * FAKE_NVML says what it has, one word a GPU: "whole", "mig" (two instances), "lost" (fails when it is read),
 * "gone" (fails when it is looked for), "hidden" (another's: no permission), "other" (a different model),
 * "slow" (takes half a second to tell its memory). "driver" alone: no driver is loaded; "broken" alone: the driver fails.
 * A process must call nvmlInit before anything else, a forked one again. A GPU's load is how often it was asked for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6,
       DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15, UNKNOWN = 999 };

struct gpu { char kind[16]; int number; int instance; unsigned asked; };
struct memory { unsigned long long total, free, used; };
struct load { unsigned gpu, memory; };

static struct gpu gpus[8][3]; /* the GPU, and its instances */
static unsigned count;
static pid_t owner;

int nvmlInitWithFlags(unsigned flags) {
    const char *scene = getenv("FAKE_NVML");
    (void)flags;
    if (scene == NULL || strcmp(scene, "driver") == 0) return DRIVER_NOT_LOADED;
    if (strcmp(scene, "broken") == 0) return UNKNOWN;
    owner = getpid();
    if (count) return OK;
    for (const char *word = scene; *word && count < 8; count++) {
        int length = 0;
        char kind[16] = "";
        sscanf(word, " %15[a-z]%n", kind, &length);
        if (!length) break;
        for (int i = 0; i < 3; i++) {
            gpus[count][i].number = (int)count;
            gpus[count][i].instance = i - 1;
            strcpy(gpus[count][i].kind, kind);
        }
        word += length;
    }
    return OK;
}

#define STARTED if (owner != getpid()) return UNINITIALIZED

int nvmlShutdown(void) { STARTED; owner = 0; return OK; }
int nvmlDeviceGetCount_v2(unsigned *found) { STARTED; *found = count; return OK; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct gpu **found) {
    STARTED;
    if (index >= count) return INVALID;
    *found = &gpus[index][0];
    if (strcmp((*found)->kind, "hidden") == 0) return NO_PERMISSION;
    return strcmp((*found)->kind, "gone") == 0 ? GPU_IS_LOST : OK;
}

int nvmlDeviceGetMigMode(struct gpu *gpu, unsigned *now, unsigned *next) {
    STARTED;
    if (strcmp(gpu->kind, "other") == 0) return NOT_SUPPORTED;
    *now = *next = strcmp(gpu->kind, "mig") == 0;
    return OK;
}

int nvmlDeviceGetMaxMigDeviceCount(struct gpu *gpu, unsigned *most) { STARTED; (void)gpu; *most = 7; return OK; }

int nvmlDeviceGetMigDeviceHandleByIndex(struct gpu *gpu, unsigned index, struct gpu **found) {
    STARTED;
    if (index % 2 || index > 2) return NOT_FOUND; /* of seven places, 0 and 2 are taken */
    *found = gpu + 1 + index / 2;
    return OK;
}

int nvmlDeviceGetUUID(struct gpu *gpu, char *uuid, unsigned size) {
    STARTED;
    if (gpu->instance < 0) snprintf(uuid, size, "GPU-%d0000000-0000", gpu->number);
    else snprintf(uuid, size, "MIG-%d%d000000-0000", gpu->number, gpu->instance);
    return OK;
}

int nvmlDeviceGetName(struct gpu *gpu, char *name, unsigned size) {
    STARTED;
    const char *model = strcmp(gpu->kind, "other") == 0 ? "NVIDIA T4" : "NVIDIA H100";
    snprintf(name, size, gpu->instance < 0 ? "%s" : "%s MIG 3g.40gb", model);
    return OK;
}

int nvmlDeviceGetUtilizationRates(struct gpu *gpu, struct load *load) {
    STARTED;
    if (strcmp(gpu->kind, "mig") == 0) return NOT_SUPPORTED;
    if (strcmp(gpu->kind, "lost") == 0) { strcpy(gpu->kind, "gone"); return GPU_IS_LOST; }
    load->gpu = ++gpu->asked;
    load->memory = 0;
    return OK;
}

int nvmlDeviceGetMemoryInfo(struct gpu *gpu, struct memory *memory) {
    STARTED;
    if (strcmp(gpu->kind, "slow") == 0) usleep(500000);
    memory->total = gpu->instance < 0 ? 80000000000ULL : 40000000000ULL;
    memory->used = 1000000000ULL * (unsigned)(gpu->number + 1);
    memory->free = memory->total - memory->used;
    return OK;
}

const char *nvmlErrorString(int code) { (void)code; return "an error"; }
