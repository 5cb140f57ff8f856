/** What tests ask of a screen of the page, in the page itself. */
({
  /** The brightness of an image in so many cells, and the same as a PNG. */
  async cells({ url, wide, tall, blur }) {
    const image = new Image();
    await new Promise((done, failed) => {
      image.onload = done;
      image.onerror = failed;
      image.src = url;
    });
    const canvas = new OffscreenCanvas(wide, tall);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingQuality = "high";
    if (blur) context.filter = "blur(1px)";
    context.drawImage(image, 0, 0, wide, tall);
    const { data } = context.getImageData(0, 0, wide, tall);
    const grays = context.createImageData(wide, tall);
    const gray = Array.from({ length: wide * tall }, (_, i) => {
      const [red, green, blue] = data.subarray(4 * i, 4 * i + 3);
      const value = Math.round(0.3 * red + 0.59 * green + 0.11 * blue);
      grays.data.set([value, value, value, 255], 4 * i);
      return value;
    });
    context.putImageData(grays, 0, 0);
    const blob = await canvas.convertToBlob({ type: "image/png" });
    const bytes = new Uint8Array(await blob.arrayBuffer());
    return { gray, png: btoa(String.fromCharCode(...bytes)) };
  },

  /** What is cut off, out of reach, or too small to read. */
  ailments() {
    const found = [];
    const wide = document.documentElement.scrollWidth;
    if (wide > innerWidth + 1) found.push(`the page is ${wide} px wide, the screen ${innerWidth}`);
    for (const link of document.querySelectorAll(".bar nav a")) {
      const { left, right, height } = link.getBoundingClientRect();
      if (left < 0 || right > innerWidth || height < 18) {
        found.push(`the link to ${link.textContent} is out of reach`);
      }
    }
    const box = document.querySelector(".bar input[type=search]")?.getBoundingClientRect();
    if (box && (box.width < 120 || box.right > innerWidth)) found.push("the search does not fit");
    for (const heading of document.querySelectorAll("main th")) {
      if (!heading.clientWidth || !heading.textContent.trim()) continue;
      if (heading.closest(".matrix")) continue; // narrow on purpose, and turned upright
      if (heading.clientWidth < 24 || heading.scrollWidth > heading.clientWidth + 1) {
        found.push(`the heading ${heading.textContent} is cut off`);
      }
    }
    for (const text of document.querySelectorAll("main svg text")) {
      const size = Number.parseFloat(getComputedStyle(text).fontSize);
      if (text.textContent.trim() && size < 10) {
        found.push(`${text.textContent.slice(0, 30)} is ${size} px tall`);
      }
    }
    // what is kept of a view, is kept of all of it
    for (const drawing of document.querySelectorAll("main svg, main canvas")) {
      const { width, height } = drawing.getBoundingClientRect();
      const icon = width < 100 || height < 40;
      if (!icon && !drawing.closest(".figure-body, [data-export=no]")) {
        found.push(`a drawing of ${width} x ${height} px in no figure: ${drawing.ariaLabel}`);
      }
    }
    for (const table of document.querySelectorAll("main table:not(.matrix)")) {
      const whole = table.closest(".table-whole, section, details");
      if (!whole?.querySelector("[data-testid^=csv-]")) {
        found.push(`the table ${table.ariaLabel} cannot be kept as CSV`);
      }
    }
    return found;
  },
})
