// Runs a fuzz target over the files of a folder: so the corpus is a test of every build, also without libFuzzer.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    enum { MOST = 1 << 16 };
    uint8_t *data = malloc(MOST);
    size_t size = data ? fread(data, 1, MOST, file) : 0;
    fclose(file);
    uint8_t *exact = realloc(data, size ? size : 1); // so that the address sanitizer sees every read behind the end
    if (!exact) {
        free(data);
        return 1;
    }
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 0;
}

int main(int argc, char **argv)
{
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    int failed = 0, count = 0;
    if (!folder) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    for (struct dirent *entry; (entry = readdir(folder)); count++)
        if (entry->d_name[0] != '.')
            failed |= replay(argv[1], entry->d_name);
    closedir(folder);
    printf("%d inputs\n", count - 2);
    return failed || count <= 2;
}
