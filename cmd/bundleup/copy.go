package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"bundleup/configs"
	"bundleup/vfs/store"
)

func storageCopyCommand() *cobra.Command {
	var file, from, to string
	cmd := &cobra.Command{
		Use:   "copy --from disk|s3 --to s3|disk",
		Short: "Copy every bundle with its documents to the other kind of storage",
		Long: "Copy every bundle with its receipts and indexes, and every record, from one kind of\n" +
			"storage to the other, as the configuration has both. The daemon must not run. Every\n" +
			"bundle is read back and compared by its SHA-256. What is there already is left\n" +
			"alone, so the command can be repeated until it ends. Unfinished uploads stay where\n" +
			"they are: let them end first, or their clients begin anew.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == to || !isKind(from) || !isKind(to) {
				return errors.New("--from and --to want disk and s3, or s3 and disk")
			}
			cfg, err := configs.Load(file)
			if err != nil {
				return failed(err)
			}
			return failed(copyStorage(cmd, cfg, from, to))
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration `FILE`")
	cmd.Flags().StringVar(&from, "from", "", "the `KIND` to copy from")
	cmd.Flags().StringVar(&to, "to", "", "the `KIND` to copy to")
	return cmd
}

func isKind(s string) bool { return s == "disk" || s == "s3" }

func copyStorage(cmd *cobra.Command, cfg configs.Config, from, to string) error {
	ctx, log := cmd.Context(), slog.New(slog.DiscardHandler)
	open := func(kind string) (medium, error) {
		c := cfg
		c.Storage.Kind = kind
		if err := c.Validate(); err != nil {
			return nil, err
		}
		m, _, err := openMedium(ctx, c, nil, log)
		return m, err
	}
	src, err := open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := open(to)
	if err != nil {
		return err
	}
	defer dst.Close()
	c := &copier{src: src, dst: dst}
	if err := c.plan(ctx, ""); err != nil {
		return err
	}
	c.bar = newBar(cmd.ErrOrStderr(), from+" to "+to, c.bytes, 1)
	err = c.run(ctx)
	if c.bar != nil {
		c.bar.clear()
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "copied %d bundles with %d bytes and %d documents; %d bundles were there; %d unfinished uploads stay behind\n",
		c.copied, c.moved, c.documents, len(c.objects)-c.copied, c.unfinished)
	return err
}

// copier copies one store into another.
type copier struct {
	src, dst medium
	bar      *bar

	dirs       []store.Key
	objects    []store.Info
	bytes      int64
	unfinished int

	copied, documents int
	moved             int64
}

// plan collects what there is below dir.
func (c *copier) plan(ctx context.Context, dir store.Key) error {
	var below []store.Key
	for i, err := range c.src.List(ctx, dir) {
		if err != nil {
			return err
		}
		if i.Dir {
			below = append(below, i.Key)
			continue
		}
		c.objects = append(c.objects, i)
		c.bytes += i.Size
	}
	c.dirs = append(c.dirs, below...)
	for _, d := range below {
		if err := c.plan(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) run(ctx context.Context) error {
	for _, d := range c.dirs {
		if err := c.dst.Mkdir(ctx, d); err != nil {
			return err
		}
	}
	docs, err := c.records(ctx, "", map[store.Key][]string{})
	if err != nil {
		return err
	}
	for _, o := range c.objects {
		if err := c.object(ctx, o, docs[o.Key]); err != nil {
			return fmt.Errorf("copy %s: %w", o.Key, err)
		}
	}
	for key, names := range docs {
		for _, name := range names {
			if err := c.document(ctx, key, name); err != nil {
				return fmt.Errorf("copy document %s of %s: %w", name, key, err)
			}
		}
	}
	for _, err := range c.src.Suspended(ctx) {
		if err != nil {
			return err
		}
		c.unfinished++
	}
	return nil
}

// records collects which documents there are below dir.
func (c *copier) records(ctx context.Context, dir store.Key, docs map[store.Key][]string) (map[store.Key][]string, error) {
	var below []store.Key
	for i, err := range c.src.Records(ctx, dir) {
		if err != nil {
			return nil, err
		}
		for name := range i.Docs {
			if name != unverifiedDoc {
				docs[i.Key] = append(docs[i.Key], name)
			}
		}
		if i.Dir {
			below = append(below, i.Key)
		}
	}
	for _, d := range below {
		if _, err := c.records(ctx, d, docs); err != nil {
			return nil, err
		}
	}
	return docs, nil
}

// unverifiedDoc lies beside a copy that was not read back yet: whoever begins anew
// after an interruption reads it back first.
const unverifiedDoc = "unverified"

// smallDoc is the size up to which a document is sealed with its bundle, in bytes;
// receipts are far below, indexes may be far above.
const smallDoc = 256 << 10

// object copies a bundle that is not there yet, with its small documents.
func (c *copier) object(ctx context.Context, o store.Info, names []string) error {
	in, err := c.src.Open(ctx, o.Key)
	if err != nil {
		return err
	}
	defer in.Close()
	there, err := c.dst.Open(ctx, o.Key)
	if err == nil {
		defer there.Close()
		return c.same(ctx, in, there)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	meta := store.Meta{ModTime: o.ModTime, Docs: map[string][]byte{}}
	for _, name := range names {
		if doc, err := c.small(ctx, c.src, o.Key, name); err != nil {
			return err
		} else if doc != nil {
			meta.Docs[name] = doc
		}
	}
	if err := c.dst.PutRecord(ctx, o.Key, unverifiedDoc, nil); err != nil {
		return err
	}
	sum, err := c.transfer(ctx, in, meta)
	if sum == nil { // nothing was sealed
		return errors.Join(err, c.dst.RemoveRecord(context.WithoutCancel(ctx), o.Key, unverifiedDoc))
	}
	if err == nil {
		err = c.verify(ctx, o.Key, sum)
	}
	if err == nil {
		err = c.dst.RemoveRecord(ctx, o.Key, unverifiedDoc)
	}
	if err == nil {
		c.copied++
		c.moved += o.Size
	}
	return err
}

// small reads a document that is small, and else gives nil.
func (c *copier) small(ctx context.Context, m medium, key store.Key, name string) ([]byte, error) {
	large, ok := m.(store.LargeRecorder)
	if !ok {
		return m.Record(ctx, key, name)
	}
	d, err := large.OpenRecord(ctx, key, name)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if d.Info().Size > smallDoc {
		return nil, nil
	}
	return io.ReadAll(io.NewSectionReader(d, 0, d.Info().Size))
}

// transfer copies the bytes and seals them if they are those of the receipt. Without
// a sum it did not come to that.
func (c *copier) transfer(ctx context.Context, in store.Object, meta store.Meta) (sum []byte, err error) {
	key := in.Info().Key
	w, err := c.dst.Create(ctx, store.NewID(time.Now()), key)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	h := sha256.New()
	dst := []io.Writer{w, h}
	if c.bar != nil {
		dst = append(dst, c.bar)
	}
	buf := make([]byte, 1<<20)
	if _, err := io.CopyBuffer(io.MultiWriter(dst...), &reading{ctx, io.NewSectionReader(in, 0, in.Info().Size)}, buf); err != nil {
		return nil, errors.Join(err, w.Discard(context.WithoutCancel(ctx)))
	}
	sum = h.Sum(nil)
	if want := receiptSum(meta.Docs); want != "" && want != hex.EncodeToString(sum) {
		return nil, errors.Join(fmt.Errorf("the bytes have the SHA-256 %x, the receipt says %s", sum, want), w.Discard(ctx))
	}
	return sum, w.Seal(ctx, key, meta)
}

// receiptSum is the digest that a receipt says; "" without one.
func receiptSum(docs map[string][]byte) string {
	var r struct {
		SHA256 string `json:"sha256"`
	}
	if json.Unmarshal(docs["receipt.json"], &r) != nil {
		return ""
	}
	return r.SHA256
}

// reading is a reader that a context can stop.
type reading struct {
	ctx context.Context
	r   io.Reader
}

func (r *reading) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// verify reads back what was copied.
func (c *copier) verify(ctx context.Context, key store.Key, want []byte) error {
	o, err := c.dst.Open(ctx, key)
	if err != nil {
		return err
	}
	defer o.Close()
	got, err := digestOf(ctx, o)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("the copy has the SHA-256 %x, not %x", got, want)
	}
	return err
}

func digestOf(ctx context.Context, o store.Object) ([]byte, error) {
	h := sha256.New()
	_, err := io.CopyBuffer(h, &reading{ctx, io.NewSectionReader(o, 0, o.Info().Size)}, make([]byte, 1<<20))
	return h.Sum(nil), err
}

// same compares a bundle with one that is there: by the receipts, which hold the
// digests, where that one was read back, and else byte by byte.
func (c *copier) same(ctx context.Context, a, b store.Object) error {
	key := a.Info().Key
	if c.bar != nil {
		c.bar.skip(a.Info().Size)
	}
	_, err := c.dst.Record(ctx, key, unverifiedDoc)
	if err == nil {
		sum, err := digestOf(ctx, a)
		if err == nil {
			err = c.verify(ctx, key, sum)
		}
		if err == nil {
			err = c.dst.RemoveRecord(ctx, key, unverifiedDoc)
		}
		return err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	x, xerr := c.src.Record(ctx, key, "receipt.json")
	y, yerr := c.dst.Record(ctx, key, "receipt.json")
	if xerr == nil && yerr == nil && a.Info().Size == b.Info().Size && bytes.Equal(x, y) {
		return nil
	}
	p, err := digestOf(ctx, a)
	if err != nil {
		return err
	}
	return c.verify(ctx, key, p)
}

// document copies a document that is not there yet, or is another one.
func (c *copier) document(ctx context.Context, key store.Key, name string) error {
	from, ok1 := c.src.(store.LargeRecorder)
	to, ok2 := c.dst.(store.LargeRecorder)
	if !ok1 || !ok2 {
		return errors.New("the storage takes no large documents")
	}
	d, err := from.OpenRecord(ctx, key, name)
	if err != nil {
		return err
	}
	defer d.Close()
	want, err := digestOf(ctx, d)
	if err != nil {
		return err
	}
	if there, err := to.OpenRecord(ctx, key, name); err == nil {
		got, err := digestOf(ctx, there)
		there.Close()
		if err == nil && bytes.Equal(got, want) {
			return nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	c.documents++
	return to.StreamRecord(ctx, key, name, func(w io.Writer) error {
		_, err := io.Copy(w, &reading{ctx, io.NewSectionReader(d, 0, d.Info().Size)})
		return err
	})
}
