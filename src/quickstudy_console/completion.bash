_quickstudy() {
    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" command="${COMP_WORDS[1]}"
    case "$before" in
        quickstudy) COMPREPLY=($(compgen -W "train resume evaluate compare predict report export list explain pretrained doctor completion demo" -- "$word")); return ;;
        train|explain) COMPREPLY=($(compgen -W "prototypical matching relation feat r2d2 lr_d2 metaoptnet maml anil boil metasgd meta_curvature maml_plus_plus proto_maml cavia fomaml imaml reptile meta_lstm leo neural_process neural_process_classifier hypernetwork mann snail in_context from_scratch nearest_centroid linear_probe baseline_plus_plus pretrain_fine_tune contrastive_pretrain joint_training" -- "$word")); return ;;
        --tasks) COMPREPLY=($(compgen -W "spoken-words omniglot strokes sinusoid gaussian_process folder csv" -- "$word")); return ;;
        resume|evaluate|compare|predict|report|export|list) COMPREPLY=($(compgen -d -- "$word")); return ;;
    esac
    if [[ "$command" == train && "$word" == -* ]]; then
        local own="" shared="--config --controls --episodes --help --network --network.channels --network.hidden --network.hidden+ --network.inputs --network.maps --network.outputs --network.pooled --out --tasks --tasks.across_voices --tasks.augment --tasks.augment+ --tasks.broken --tasks.cache --tasks.channels --tasks.classes --tasks.classes+ --tasks.download --tasks.examples --tasks.features --tasks.features+ --tasks.filename --tasks.folder --tasks.invert --tasks.kernels --tasks.kernels+ --tasks.kind --tasks.label --tasks.languages --tasks.languages+ --tasks.length --tasks.memory --tasks.noise --tasks.normalise --tasks.part --tasks.path --tasks.period --tasks.progress --tasks.queries --tasks.rate --tasks.repeats --tasks.root --tasks.rotations --tasks.scale --tasks.seconds --tasks.seed --tasks.shots --tasks.size --tasks.split --tasks.split+ --tasks.style --tasks.text --tasks.transform --tasks.transform+ --tasks.trim --tasks.voices --tasks.voices+ --tasks.ways --tasks.within --tracking --train --train.chunk --train.clip --train.device --train.executor --train.keep --train.patience --train.precision --train.seconds --train.seed --train.select_by --train.start --train.steps --train.tasks_per_step --train.validate_every --train.validation_episodes"
        case "${COMP_WORDS[2]}" in
            prototypical) own="--normalisation" ;;
            matching) own="--normalisation --temperature" ;;
            relation) own="--normalisation" ;;
            feat) own="--contrast --normalisation --temperature" ;;
            r2d2) own="--normalisation --penalty --scale --shift" ;;
            lr_d2) own="--newton_steps --normalisation --penalty --scale" ;;
            metaoptnet) own="--C --normalisation --scale" ;;
            maml) own="--adapts --adapts+ --clip --inner_lr --inner_steps --normalisation --norms_per_step --step_weights --step_weights+" ;;
            anil) own="--adapts --adapts+ --clip --inner_lr --inner_steps --normalisation --norms_per_step --step_weights --step_weights+" ;;
            boil) own="--clip --head --head+ --inner_lr --inner_steps --normalisation --norms_per_step --step_weights --step_weights+" ;;
            metasgd) own="--adapts --adapts+ --clip --inner_lr --inner_steps --normalisation --norms_per_step --step_weights --step_weights+" ;;
            meta_curvature) own="--adapts --adapts+ --clip --inner_lr --inner_steps --normalisation --norms_per_step --step_weights --step_weights+" ;;
            maml_plus_plus) own="--clip --final_outer_lr --first_order --inner_lr --inner_steps --multi_step --normalisation --norms_per_step --outer_lr --steps" ;;
            proto_maml) own="--clip --inner_lr --inner_steps --normalisation" ;;
            cavia) own="--clip --inner_lr --inner_steps --normalisation --norms_per_step --step_weights --step_weights+" ;;
            fomaml) own="--adapts --adapts+ --clip --inner_lr --inner_steps --normalisation --norms_per_step --step_weights --step_weights+" ;;
            imaml) own="--adapts --adapts+ --clip --inner_lr --inner_steps --normalisation --norms_per_step --proximal_weight --step_weights --step_weights+" ;;
            reptile) own="--adapts --adapts+ --clip --inner_lr --inner_steps --normalisation --outer_lr" ;;
            meta_lstm) own="--hidden --inner_lr --inner_steps --keep --normalisation --p" ;;
            leo) own="--dropout --encoder_penalty --fine_tuning_lr --fine_tuning_steps --kl --latent_lr --latent_steps --latents --normalisation --orthogonality" ;;
            neural_process) own="--least_std --width" ;;
            neural_process_classifier) own="--normalisation --width" ;;
            hypernetwork) own="--hidden --normalisation --rank --width" ;;
            mann) own="--decay --heads --hidden --normalisation --recurrent --sequence --sharpness --slots --width" ;;
            snail) own="--attention --attention+ --filters --normalisation" ;;
            in_context) own="--depth --heads --normalisation --width" ;;
            from_scratch) own="--inner_lr --inner_steps --normalisation" ;;
            nearest_centroid) own="--normalisation" ;;
            linear_probe) own="--batch_size --newton_steps --normalisation --penalty --scale" ;;
            baseline_plus_plus) own="--batch_size --inner_lr --inner_steps --normalisation --scale" ;;
            pretrain_fine_tune) own="--adapts --adapts+ --batch_size --inner_lr --inner_steps --normalisation --scale" ;;
            contrastive_pretrain) own="--adapts --adapts+ --batch_size --inner_lr --inner_steps --normalisation --scale --temperature" ;;
            joint_training) own="--adapts --adapts+ --clip --inner_lr --inner_steps --normalisation --norms_per_step --step_weights --step_weights+" ;;
        esac
        [[ -n "$own" ]] && COMPREPLY=($(compgen -W "$own $shared" -- "$word"))
        return
    fi
    COMPREPLY=($(compgen -f -- "$word"))
}
complete -F _quickstudy quickstudy
