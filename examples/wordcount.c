/*
 * wordcount [--top N] PATH…: counts the words in files and folders; a word is a run of the letters A–Z and a–z, in
 * lower case, and every other byte parts words. So any file will do, text or not.
 *
 * One agent reads a chunk of a file and sends each word to the agent that owns it by hash (thousands of them). A feeder
 * keeps a bounded number of chunks under way: a chunk is done when the owners have acknowledged all of its words, so
 * memory is bounded however large the files are. At the end the owners report to the reporter. See docs/wordcount.md.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <soma/soma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK (256u * 1024)
#define CHUNKS_AT_ONCE 16u
#define OWNERS 4096u

SOMA_MESSAGE(begin)
SOMA_MESSAGE(words, (bytes, text)) /* each word ends in a newline */
SOMA_MESSAGE(counted)
SOMA_MESSAGE(chunk_done, (bool, failed))
SOMA_MESSAGE(report)
SOMA_MESSAGE(result, (string, word), (u64, count))
SOMA_MESSAGE(owner_done)

struct file {
    char *path;
    off_t size;
    bool failed;
};

/* What main sets up before the system runs; read only from then on, but for the marks named. */
static struct job {
    struct file *files;
    size_t file_count;
    size_t failures; /* the feeder's alone while the system runs */
    size_t top;
    soma_ref owners[OWNERS];
    soma_ref reporter;
    soma_ref feeder;
} job;

static void out_of_memory(void)
{
    fprintf(stderr, "wordcount: out of memory\n");
    exit(1);
}

static bool is_letter(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static uint32_t hash_word(const char *word, size_t length)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)word[i]) * 16777619u;
    return hash;
}

/* ---- owners: a hash table of words each ---- */

struct entry {
    char *word;
    uint64_t count;
};

struct owner {
    struct entry *entries;
    size_t used, size;
};

static struct entry *entry_find(const struct owner *my, const char *word, size_t length)
{
    for (size_t i = hash_word(word, length) / OWNERS;; i++) {
        struct entry *entry = &my->entries[i & (my->size - 1)];
        if (!entry->word || (!strncmp(entry->word, word, length) && !entry->word[length]))
            return entry;
    }
}

static void owner_grow(struct owner *my)
{
    struct owner grown = {.used = my->used, .size = my->size ? my->size * 2 : 8};
    if (!(grown.entries = calloc(grown.size, sizeof(struct entry))))
        out_of_memory();
    for (size_t i = 0; i < my->size; i++)
        if (my->entries[i].word)
            *entry_find(&grown, my->entries[i].word, strlen(my->entries[i].word)) = my->entries[i];
    free(my->entries);
    *my = grown;
}

static void owner_count(struct owner *my, const char *word, size_t length)
{
    if (my->used * 2 >= my->size)
        owner_grow(my);
    struct entry *entry = entry_find(my, word, length);
    if (!entry->word) {
        if (!(entry->word = strndup(word, length)))
            out_of_memory();
        my->used++;
    }
    entry->count++;
}

static int on_words(soma_agent *self, struct owner *my, const struct words *m)
{
    const char *at = m->text.data, *end = at + m->text.size;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        owner_count(my, at, (size_t)(newline - at));
        at = newline + 1;
    }
    return soma_send(self, soma_sender(self), counted);
}

static int on_report(soma_agent *self, struct owner *my, const struct report *m)
{
    (void)m;
    for (size_t i = 0; i < my->size; i++)
        if (my->entries[i].word)
            soma_send(self, job.reporter, result, .word = my->entries[i].word, .count = my->entries[i].count);
    return soma_send(self, job.reporter, owner_done);
}

static void owner_stop(soma_agent *self, void *state, int reason)
{
    (void)self, (void)reason;
    struct owner *my = state;
    for (size_t i = 0; i < my->size; i++)
        free(my->entries[i].word);
    free(my->entries);
}

static const soma_behavior owner = {.name = "owner",
                                    .state_size = sizeof(struct owner),
                                    .stop = owner_stop,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(words, on_words), SOMA_ON(report, on_report))};

/* ---- chunks: read a part of a file, sort its words by owner, send them ---- */

struct chunk {
    struct file *file;
    off_t start;
    uint32_t unacknowledged;
};

/* The chunk's text: a word belongs to the chunk that it starts in, so the last one is read to its end. */
struct text {
    char *bytes;
    size_t length, from; /* words start at `from` or later */
};

static bool text_read(const struct chunk *my, struct text *text)
{
    int fd = open(my->file->path, O_RDONLY | O_CLOEXEC);
    off_t start = my->start ? my->start - 1 : 0; /* one byte more: is a word under way there? */
    size_t want = CHUNK + (my->start ? 1 : 0), room = want;
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
    text->from = my->start ? 1 : 0;
    if (done && my->start && text->length && is_letter((unsigned char)text->bytes[0]))
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

static void words_split(const struct text *text, struct basket *baskets)
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
            basket_add(&baskets[hash_word(lower, length < sizeof(lower) ? length : sizeof(lower)) % OWNERS],
                       text->bytes + start, length);
        else
            at++;
    }
}

static int chunk_end(soma_agent *self, bool failed)
{
    soma_agent_exit(self, 0);
    return soma_send(self, job.feeder, chunk_done, .failed = failed);
}

static int on_begin(soma_agent *self, struct chunk *my, const struct begin *m)
{
    (void)m;
    struct text text = {0};
    struct basket *baskets = calloc(OWNERS, sizeof(*baskets));
    bool done = baskets && text_read(my, &text);
    if (done)
        words_split(&text, baskets);
    else
        fprintf(stderr, "wordcount: %s: %s\n", my->file->path, strerror(errno));
    int error = 0;
    for (uint32_t i = 0; baskets && i < OWNERS; i++) {
        if (baskets[i].length && !error) {
            error = soma_send(self, job.owners[i], words, .text = {baskets[i].text, (uint32_t)baskets[i].length});
            my->unacknowledged++;
        }
        free(baskets[i].text);
    }
    free(baskets);
    free(text.bytes);
    return my->unacknowledged && !error ? 0 : chunk_end(self, !done || error);
}

static int on_counted(soma_agent *self, struct chunk *my, const struct counted *m)
{
    (void)m;
    return --my->unacknowledged ? 0 : chunk_end(self, false);
}

static int chunk_init(soma_agent *self, void *state, const void *arg)
{
    *(struct chunk *)state = *(const struct chunk *)arg;
    return soma_send(self, soma_self(self), begin);
}

static const soma_behavior chunk = {.name = "chunk",
                                    .state_size = sizeof(struct chunk),
                                    .init = chunk_init,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin), SOMA_ON(counted, on_counted))};

/* ---- the feeder: some chunks under way at any time ---- */

struct feeder {
    size_t file;
    off_t at;
    uint32_t under_way;
    size_t done;
};

static int feed(soma_agent *self, struct feeder *my)
{
    while (my->under_way < CHUNKS_AT_ONCE && my->file < job.file_count) {
        struct chunk next = {.file = &job.files[my->file], .start = my->at};
        int error = soma_spawn(self, &chunk, &next, NULL);
        if (error)
            return error;
        my->under_way++;
        my->at += CHUNK;
        if (my->at >= next.file->size) {
            my->file++;
            my->at = 0;
        }
    }
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%zu chunks read, file %zu of %zu ", my->done, my->file, job.file_count);
    for (uint32_t i = 0; !my->under_way && i < OWNERS; i++)
        soma_send(self, job.owners[i], report);
    return 0;
}

static int on_feed(soma_agent *self, struct feeder *my, const struct begin *m)
{
    (void)m;
    return feed(self, my);
}

static int on_chunk_done(soma_agent *self, struct feeder *my, const struct chunk_done *m)
{
    job.failures += m->failed;
    my->under_way--;
    my->done++;
    return feed(self, my);
}

static const soma_behavior feeder = {.name = "feeder",
                                     .state_size = sizeof(struct feeder),
                                     .handlers =
                                         SOMA_HANDLERS(SOMA_ON(begin, on_feed), SOMA_ON(chunk_done, on_chunk_done))};

/* ---- the reporter ---- */

struct reporter {
    struct entry *entries;
    size_t used, size;
    uint64_t total;
    uint32_t owners_done;
};

static int by_count(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count ? 1 : -1) : strcmp(x->word, y->word);
}

static int on_result(soma_agent *self, struct reporter *my, const struct result *m)
{
    (void)self;
    if (my->used == my->size) {
        my->size = my->size ? 2 * my->size : 1024;
        if (!(my->entries = realloc(my->entries, my->size * sizeof(struct entry))))
            out_of_memory();
    }
    char *word = strdup(m->word);
    if (!word)
        out_of_memory();
    my->entries[my->used++] = (struct entry){word, m->count};
    my->total += m->count;
    return 0;
}

static int on_owner_done(soma_agent *self, struct reporter *my, const struct owner_done *m)
{
    (void)m;
    if (++my->owners_done < OWNERS)
        return 0;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\n");
    if (my->used)
        qsort(my->entries, my->used, sizeof(struct entry), by_count);
    for (size_t i = 0; i < my->used && (!job.top || i < job.top); i++)
        printf("%7" PRIu64 " %s\n", my->entries[i].count, my->entries[i].word);
    fprintf(stderr, "wordcount: %" PRIu64 " words, %zu different, in %zu files\n", my->total, my->used, job.file_count);
    return soma_system_stop(soma_agent_system(self));
}

static void reporter_stop(soma_agent *self, void *state, int reason)
{
    (void)self, (void)reason;
    struct reporter *my = state;
    for (size_t i = 0; i < my->used; i++)
        free(my->entries[i].word);
    free(my->entries);
}

static const soma_behavior reporter = {
    .name = "reporter",
    .state_size = sizeof(struct reporter),
    .stop = reporter_stop,
    .handlers = SOMA_HANDLERS(SOMA_ON(result, on_result), SOMA_ON(owner_done, on_owner_done))};

/* ---- the command ---- */

static int file_add(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)where;
    if (type == FTW_DNR || type == FTW_NS) {
        fprintf(stderr, "wordcount: %s: cannot be read\n", path);
        job.failures++;
        return 0;
    }
    if (type != FTW_F || !S_ISREG(status->st_mode))
        return 0; /* folders are walked; devices and the like are not read */
    struct file *grown = realloc(job.files, (job.file_count + 1) * sizeof(struct file));
    char *copy = strdup(path);
    if (!grown || !copy)
        out_of_memory();
    job.files = grown;
    job.files[job.file_count++] = (struct file){.path = copy, .size = status->st_size};
    return 0;
}

static int count_words(void)
{
    soma_system *system;
    int error = soma_system_open(&system, NULL);
    for (uint32_t i = 0; !error && i < OWNERS; i++)
        error = soma_spawn(system, &owner, NULL, &job.owners[i]);
    if (!error)
        error = soma_spawn(system, &reporter, NULL, &job.reporter);
    if (!error)
        error = soma_spawn(system, &feeder, NULL, &job.feeder);
    if (!error)
        error = soma_send(system, job.feeder, begin);
    if (!error)
        error = soma_system_run(system);
    int closing = soma_system_close(&system);
    return error ? error : closing;
}

int main(int argc, char **argv)
{
    int first = 1;
    job.top = 20;
    if (argc > 2 && !strcmp(argv[1], "--top")) {
        job.top = strtoul(argv[2], NULL, 10); /* 0: all */
        first = 3;
    }
    if (first >= argc) {
        fprintf(stderr, "usage: wordcount [--top N] PATH…   (--top 0 prints every word)\n");
        return 2;
    }
    for (int i = first; i < argc; i++) {
        if (nftw(argv[i], file_add, 32, FTW_PHYS)) {
            fprintf(stderr, "wordcount: %s: %s\n", argv[i], strerror(errno));
            job.failures++;
        }
    }
    int error = count_words();
    if (error)
        fprintf(stderr, "wordcount: %s\n", soma_strerror(error));
    for (size_t i = 0; i < job.file_count; i++)
        free(job.files[i].path);
    free(job.files);
    return error || job.failures;
}
