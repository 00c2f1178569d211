/*
 * What of wordcount.c knows nothing of agents: which files there are, the text of a chunk, its words by who counts
 * them, and counts of words.
 */
#ifndef WORDCOUNT_TEXT_H
#define WORDCOUNT_TEXT_H

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK (256u * 1024)

static void out_of_memory(void)
{
    fprintf(stderr, "wordcount: out of memory\n");
    exit(1);
}

/* ---- files ---- */

struct file {
    char *path;
    off_t size;
};

struct files {
    struct file *all;
    size_t count;
    size_t failures; /* of those that can't be looked at */
};

static struct files *finding; /* nftw() passes nothing on */

static int file_add(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)where;
    if (type == FTW_DNR || type == FTW_NS) {
        fprintf(stderr, "wordcount: %s: cannot be read\n", path);
        finding->failures++;
        return 0;
    }
    if (type != FTW_F || !S_ISREG(status->st_mode))
        return 0; /* folders are walked; devices and the like are not read */
    struct file *grown = realloc(finding->all, (finding->count + 1) * sizeof(struct file));
    char *copy = strdup(path);
    if (!grown || !copy)
        out_of_memory();
    finding->all = grown;
    finding->all[finding->count++] = (struct file){.path = copy, .size = status->st_size};
    return 0;
}

static void files_find(const char *path, struct files *files)
{
    finding = files;
    if (nftw(path, file_add, 32, FTW_PHYS)) {
        fprintf(stderr, "wordcount: %s: %s\n", path, strerror(errno));
        files->failures++;
    }
}

static void files_free(struct files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->all[i].path);
    free(files->all);
}

/* ---- chunks ---- */

static bool is_letter(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The chunk's text: a word belongs to the chunk that it starts in, so the last one is read to its end. */
struct text {
    char *bytes;
    size_t length, from; /* words start at `from` or later */
};

static bool text_read(const char *path, off_t from, struct text *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t start = from ? from - 1 : 0; /* one byte more: is a word under way there? */
    size_t want = CHUNK + (from ? 1 : 0), room = want;
    text->bytes = malloc(room);
    bool in_word = true;
    ssize_t got = 1;
    while (fd >= 0 && text->bytes && got > 0 && (text->length < want || in_word)) {
        if (text->length == room) { /* the last word goes on */
            char *more = realloc(text->bytes, room += 4096);
            if (!more)
                break;
            text->bytes = more;
        }
        got = pread(fd, text->bytes + text->length, room - text->length, start + (off_t)text->length);
        if (got > 0)
            text->length += (size_t)got;
        in_word = text->length >= want && is_letter((unsigned char)text->bytes[text->length - 1]);
    }
    bool done = fd >= 0 && got >= 0 && text->bytes && (got == 0 || !in_word);
    if (fd >= 0)
        close(fd);
    text->from = from ? 1 : 0;
    if (done && from && text->length && is_letter((unsigned char)text->bytes[0]))
        while (text->from < text->length && is_letter((unsigned char)text->bytes[text->from]))
            text->from++; /* the word before us goes on to here */
    size_t end = want;
    while (end < text->length && is_letter((unsigned char)text->bytes[end - 1]) &&
           is_letter((unsigned char)text->bytes[end]))
        end++;
    if (end < text->length)
        text->length = end; /* what starts later is the next chunk's */
    return done;
}

/* ---- words ---- */

static uint32_t hash_word(const char *word, size_t length)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)word[i]) * 16777619u;
    return hash;
}

/* The words of one owner, each ended by a newline. */
struct basket {
    char *text;
    size_t length, size;
};

static void basket_add(struct basket *basket, const char *word, size_t length)
{
    if (basket->length + length + 1 > basket->size) {
        basket->size = 2 * basket->size + length + 32;
        if (!(basket->text = realloc(basket->text, basket->size)))
            out_of_memory();
    }
    for (size_t i = 0; i < length; i++)
        basket->text[basket->length++] = (char)tolower((unsigned char)word[i]);
    basket->text[basket->length++] = '\n';
}

static void words_split(const struct text *text, struct basket *baskets, uint32_t count)
{
    char lower[64];
    for (size_t at = text->from; at < text->length;) {
        size_t start = at;
        while (at < text->length && is_letter((unsigned char)text->bytes[at]))
            at++;
        size_t length = at - start;
        for (size_t i = 0; i < length && i < sizeof(lower); i++) /* the owner is told by a word's first letters */
            lower[i] = (char)tolower((unsigned char)text->bytes[start + i]);
        if (length)
            basket_add(&baskets[hash_word(lower, length < sizeof(lower) ? length : sizeof(lower)) % count],
                       text->bytes + start, length);
        else
            at++;
    }
}

/* ---- counts: a hash table of words ---- */

struct entry {
    char *word;
    uint64_t count;
};

struct counts {
    struct entry *entries;
    size_t used, size;
};

/* `owners`: all of a table's words have the same hash modulo that. */
static struct entry *counts_find(const struct counts *counts, const char *word, size_t length, uint32_t owners)
{
    for (size_t i = hash_word(word, length) / owners;; i++) {
        struct entry *entry = &counts->entries[i & (counts->size - 1)];
        if (!entry->word || (!strncmp(entry->word, word, length) && !entry->word[length]))
            return entry;
    }
}

static void counts_grow(struct counts *counts, uint32_t owners)
{
    struct counts grown = {.used = counts->used, .size = counts->size ? counts->size * 2 : 8};
    if (!(grown.entries = calloc(grown.size, sizeof(struct entry))))
        out_of_memory();
    for (size_t i = 0; i < counts->size; i++)
        if (counts->entries[i].word)
            *counts_find(&grown, counts->entries[i].word, strlen(counts->entries[i].word), owners) = counts->entries[i];
    free(counts->entries);
    *counts = grown;
}

static void counts_add(struct counts *counts, const char *word, size_t length, uint32_t owners)
{
    if (counts->used * 2 >= counts->size)
        counts_grow(counts, owners);
    struct entry *entry = counts_find(counts, word, length, owners);
    if (!entry->word) {
        if (!(entry->word = strndup(word, length)))
            out_of_memory();
        counts->used++;
    }
    entry->count++;
}

static void counts_free(struct counts *counts)
{
    for (size_t i = 0; i < counts->size; i++)
        free(counts->entries[i].word);
    free(counts->entries);
}

#endif
