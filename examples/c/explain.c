/* Explains one picture; README.md tells how. */
#define _POSIX_C_SOURCE 200112L /* for setenv */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnxruntime/onnxruntime_c_api.h"

#define REMEDY "Make it with `lrpc compile MODEL.onnx --single-file --preprocess --heatmap`."

enum { UNTRUSTWORTHY = 1, BAD_INPUT = 2 }; /* exit codes: those of `lrpc explain --strict` */
enum { IMAGE, TARGET, INPUTS, OUTPUT = INPUTS, HEALTH, HEATMAP, TENSORS };
enum { LARGEST = 1 << 16 }; /* dimension, so that sizes do not overflow */
enum { SUM, ABS_SUM, RANGE, NONFINITE }; /* the columns of `health` */

/* What lrpc promises of the graph, a tensor a column. */
static const char *names[TENSORS] = {"image", "target", "output", "health", "heatmap"};
static const ONNXTensorElementDataType TYPES[TENSORS] = {
    ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8};
static const size_t ELEMENT[TENSORS] = {1, sizeof(int64_t), sizeof(float), sizeof(float), 1};
static const size_t RANK[TENSORS] = {4, 1, 2, 2, 4};

static int64_t shape[TENSORS][4] = {{1, 0, 0, 3}, {1}, {1, 0}, {1, 4}, {1, 0, 0, 3}}; /* 0 until it is known */
static size_t bytes[TENSORS];
static void *data[TENSORS];
static OrtValue *values[TENSORS];
static char own_output[256]; /* what the model calls its output, which comes first */

static const OrtApi *api;
static OrtAllocator *allocator; /* the library's own, never released */
static OrtEnv *env;
static OrtSessionOptions *options;
static OrtSession *session;
static OrtMemoryInfo *memory;

static void release(void) {
    if (!api) return;
    for (int t = 0; t < TENSORS; t++) api->ReleaseValue(values[t]), free(data[t]);
    api->ReleaseMemoryInfo(memory);
    api->ReleaseSession(session);
    api->ReleaseSessionOptions(options);
    api->ReleaseEnv(env);
}

static _Noreturn void fail(int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("Error: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    release();
    exit(code);
}

static void check(OrtStatus *status) {
    if (!status) return;
    char message[512];
    snprintf(message, sizeof message, "%s", api->GetErrorMessage(status));
    api->ReleaseStatus(status);
    message[strcspn(message, "\n")] = '\0';
    fail(BAD_INPUT, "ONNX Runtime says \"%s\". " REMEDY, message);
}

static void open_model(const char *path) {
    setenv("ORT_DISABLE_TELEMETRY", "1", 0); /* from 1.29 on it reports to its maker, by a thread that exit runs into */
    check(api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "explain", &env));
    check(api->CreateSessionOptions(&options));
    check(api->GetAllocatorWithDefaultOptions(&allocator));
    check(api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
    check(api->CreateSession(env, path, options, &session));
}

/* Reads the next number of a PPM's header, -1 where there is none; a comment runs from # to the end of its line. */
static int next_number(FILE *file) {
    int c, number;
    while ((c = fgetc(file)) == '#' || isspace(c))
        while (c == '#' && (c = fgetc(file)) != '\n' && c != EOF) c = '#';
    ungetc(c, file);
    return isdigit(c) && fscanf(file, "%9d", &number) == 1 ? number : -1;
}

/* Reads the picture, which tells its shape. */
static void read_picture(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(BAD_INPUT, "%s cannot be read: %s. Give the path of a PPM picture.", path, strerror(errno));
    int h = -1, w = -1, top = -1;
    if (fgetc(file) == 'P' && fgetc(file) == '6') w = next_number(file), h = next_number(file), top = next_number(file);
    bool is_ppm = w > 0 && h > 0 && w <= LARGEST && h <= LARGEST && top == 255 && isspace(fgetc(file));
    size_t size = is_ppm ? (size_t)h * (size_t)w * 3 : 0, got = 0;
    if (is_ppm && (data[IMAGE] = malloc(size))) got = fread(data[IMAGE], 1, size, file);
    fclose(file);
    if (!is_ppm)
        fail(BAD_INPUT, "%s is no binary PPM of 8 bits. Convert it: `convert %s -depth 8 ppm:NEW.ppm`.", path, path);
    if (got < size) fail(BAD_INPUT, "%s ends after %zu of %zu bytes of pixels. Copy it again.", path, got, size);
    shape[IMAGE][1] = h, shape[IMAGE][2] = w;
}

/* Tells whether the graph's i-th input or output is tensor t; if so, writes its dimensions, -1 where one is free. */
static bool is_tensor(size_t i, int t, int64_t *dimensions) {
    bool input = t < INPUTS;
    char *name;
    check((input ? api->SessionGetInputName : api->SessionGetOutputName)(session, i, allocator, &name));
    if (t == OUTPUT && i == 0) snprintf(own_output, sizeof own_output, "%s", name), names[t] = own_output;
    bool same = strcmp(name, names[t]) == 0;
    check(api->AllocatorFree(allocator, name));
    if (!same) return false;
    OrtTypeInfo *info;
    const OrtTensorTypeAndShapeInfo *tensor; /* NULL for what is no tensor */
    ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    size_t rank = 0;
    check((input ? api->SessionGetInputTypeInfo : api->SessionGetOutputTypeInfo)(session, i, &info));
    check(api->CastTypeInfoToTensorInfo(info, &tensor));
    if (tensor) check(api->GetTensorElementType(tensor, &type)), check(api->GetDimensionsCount(tensor, &rank));
    same = type == TYPES[t] && rank == RANK[t];
    if (same) check(api->GetDimensions(tensor, dimensions, rank));
    api->ReleaseTypeInfo(info);
    return same;
}

/* Finds the tensors in the graph, and makes room for each. */
static void read_signature(const char *model, const char *picture) {
    for (int t = 0; t < TENSORS; t++) {
        int64_t found[4];
        size_t count, i = 0;
        check((t < INPUTS ? api->SessionGetInputCount : api->SessionGetOutputCount)(session, &count));
        while (i < count && !is_tensor(i, t, found)) i++;
        bool there = i < count, fits = there;
        bytes[t] = ELEMENT[t];
        for (size_t d = 0; d < RANK[t] && fits; bytes[t] *= (size_t)shape[t][d++]) {
            if (shape[t][d] == 0) shape[t][d] = found[d];
            fits = shape[t][d] > 0 && shape[t][d] <= LARGEST && (found[d] < 0 || found[d] == shape[t][d]);
        }
        if (there && found[0] > 1) fail(BAD_INPUT, "%s takes several pictures at a time. Leave its batch free.", model);
        if (there && !fits && t == IMAGE)
            fail(BAD_INPUT, "%s is %d x %d. Scale it: `convert %s -resize '%dx%d!' NEW.ppm`.", picture,
                 (int)shape[t][2], (int)shape[t][1], picture, (int)found[2], (int)found[1]);
        if (fits && !data[t]) data[t] = malloc(bytes[t]);
        if (!fits || !data[t])
            fail(BAD_INPUT, "%s explains no pictures: no %s `%s` of the type and shape that are needed. " REMEDY, model,
                 t < INPUTS ? "input" : "output", names[t]);
        check(api->CreateTensorWithDataAsOrtValue(memory, data[t], bytes[t], shape[t], RANK[t], TYPES[t], &values[t]));
    }
}

static int64_t read_class(const char *text, int64_t classes) {
    char *end;
    long long number = strtoll(text, &end, 10); /* the largest where it overflows */
    if (!isdigit((unsigned char)*text) || *end || number >= classes)
        fail(BAD_INPUT, "%s is no class. Give one from 0 to %d, or none for the top class.", text, (int)classes - 1);
    return number;
}

static void report(int64_t chosen) {
    const float *scores = data[OUTPUT], *health = data[HEALTH];
    int64_t classes = shape[OUTPUT][1], best = 0;
    double total = 0;
    for (int64_t i = 1; i < classes; i++) best = scores[i] > scores[best] ? i : best;
    for (int64_t i = 0; i < classes; i++) total += exp(scores[i] - scores[best]);
    if (chosen < 0) chosen = best;
    printf("class %d: softmax %.1f%%, score %.3f\n", (int)chosen, 100 * exp(scores[chosen] - scores[best]) / total,
           scores[chosen]);
    printf("relevance: sum %.3g, sum of |R| %.3g, max - min %.3g, non-finite %.0f\n", health[SUM], health[ABS_SUM],
           health[RANGE], health[NONFINITE]);
    if (health[NONFINITE] != 0 || !isfinite(health[SUM] + health[ABS_SUM] + health[RANGE]))
        fail(UNTRUSTWORTHY, "the relevance is not finite. Compile with `--composite bounded`, or ask `lrpc doctor`.");
}

static void write_heatmap(const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file) fail(BAD_INPUT, "%s cannot be written: %s. Choose another place.", path, strerror(errno));
    bool written = fprintf(file, "P6\n%d %d\n255\n", (int)shape[HEATMAP][2], (int)shape[HEATMAP][1]) > 0 &&
                   fwrite(data[HEATMAP], 1, bytes[HEATMAP], file) == bytes[HEATMAP];
    if (fclose(file) != 0 || !written) fail(BAD_INPUT, "%s is incomplete. Make room, or choose another place.", path);
}

int main(int argc, char **argv) {
    if (argc < 4 || argc > 5) fail(BAD_INPUT, "Usage: %s MODEL.explain.onnx PICTURE.ppm HEATMAP.ppm [CLASS]", argv[0]);
    api = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    if (!api) fail(BAD_INPUT, "ONNX Runtime is older than 1.%d. Install a newer one.", ORT_API_VERSION);
    read_picture(argv[2]);
    open_model(argv[1]);
    read_signature(argv[1], argv[2]);
    int64_t *target = data[TARGET];
    *target = argc == 5 ? read_class(argv[4], shape[OUTPUT][1]) : -1; /* -1 is the top class */
    /* The outputs have room already, so that ONNX Runtime checks that they fit it. */
    check(api->Run(session, NULL, names, (const OrtValue *const *)values, INPUTS, names + INPUTS, TENSORS - INPUTS,
                   values + INPUTS));
    report(*target);
    write_heatmap(argv[3]);
    release();
    return 0;
}
