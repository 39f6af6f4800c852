"""python -m npvae.verify.mistakes: print README.md."""

from npvae.verify.mistakes.markdown import as_markdown

if __name__ == "__main__":
    print(as_markdown(), end="")
