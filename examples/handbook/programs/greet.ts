const words: string[] = ["typed", "and", "compiled"];
console.log(words.join(" "));
